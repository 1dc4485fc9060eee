package observe

// Flags are Envoy's response flags, for those who know them: what an access log
// says beside the reason. A Reason has at most one; what else has happened to the
// request adds others.
type Flags uint32

// Flags that are no reason's alone.
const (
	// FlagURX: it failed, and no try was left (upstream retry limit exceeded).
	FlagURX Flags = 1 << iota
	// FlagDI: it was delayed by a fault, on purpose (delay injected).
	FlagDI
)

// flagNames are the letters of the bits.
var flagNames = [...]string{"URX", "DI", "UH", "UF", "UO", "NR", "UT", "UC", "UPE", "UMSDR", "DC", "DPE", "SI", "RL", "FI", "NC", "NFCF", "LR", "OM", "UR"}

// Flags is the bit of the Reason's letters, 0 where it has none.
func (r Reason) Flags() Flags {
	letters := r.Info().Flag
	if letters == "" {
		return 0
	}
	for i, name := range flagNames {
		if name == letters {
			return 1 << i
		}
	}
	return 0
}

// Append appends the letters, with commas between, as Envoy does; nothing for
// none.
func (f Flags) Append(b []byte) []byte {
	more := false
	for i, name := range flagNames {
		if f&(1<<i) == 0 {
			continue
		}
		if more {
			b = append(b, ',')
		}
		b = append(b, name...)
		more = true
	}
	return b
}

// String is Append's text.
func (f Flags) String() string { return string(f.Append(nil)) }

// NoFlag says why the Reason has no letters; "" where it has.
func (r Reason) NoFlag() string {
	if r.Info().Flag != "" {
		return ""
	}
	switch r {
	case ReasonNone:
		return "nothing went wrong"
	case HandshakeFailed, HandshakeTimeout, ClientCertificateMissing, ClientCertificateInvalid, ClientIdentity,
		BadProxyHeader, ProxyHeaderTimeout, TooManyConnections, TooManyFromCaller, PlaintextRefused, OutboundUnproven:
		return "Envoy ends such connections before there is a request, or counts them in a listener's figures"
	case FlowIdle, TooManySessions, DatagramLost, OutboundRefused, OutboundUnknown, OutboundPort:
		return "it is of a connection, which Envoy closes without letters"
	case BodyTooLarge, HeadTimeout, BodyTimeout, WriteTimeout, TooManyStreams:
		return "Envoy says it in the response code details alone"
	case PolicyDenied, BadPassport:
		return "Envoy's RBAC says it in the response code details; UAEX is an external authorizer's"
	case Misdirected, PortRemoved, NoProgram:
		return "Envoy has no such case: its listeners are replaced as a whole"
	case Redirected, Responded, Preflight, Challenged:
		return "it was answered on purpose"
	case RetryLate, RetryAfter, RetryBody:
		return "the request's own reason has letters; these say why it was not tried again"
	case Internal:
		return "Envoy has no such case"
	}
	return ""
}
