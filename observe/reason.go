package observe

// Reason says why naru itself ended an exchange, or why an answer is not the
// backend's. One code per failure: it stands in the problem+json body, in the
// access log, in naru_refused_total, and `naru explain CODE` tells what it
// means and what to do. ReasonNone is an exchange without incident.
type Reason uint8

const (
	ReasonNone Reason = iota

	// The client's message is wrong (RFC 9112, RFC 9110).
	BadRequestLine
	BadVersion
	BadField
	BadHost
	BadLength
	BadTransferCoding
	LengthAndChunked
	BadChunk
	BadTarget
	BadUpgrade
	BadExpect
	BadMessage
	// And of HTTP/2 (RFC 9113).
	BadPseudo
	BadFrame
	// A bound was passed.
	URITooLong
	HeadTooLarge
	TooManyFields
	BodyTooLarge
	HeadTimeout
	BodyTimeout
	TooManyConnections
	TooManyFromCaller
	TooManyStreams
	// A client of HTTP/2 wastes what it may use.
	RapidReset
	ContinuationFlood
	SettingsFlood
	PingFlood
	PriorityFlood
	WindowFlood
	EmptyFrameFlood
	UnreadFlood
	// The connection.
	ClientGone
	WriteTimeout
	HandshakeFailed
	HandshakeTimeout
	ClientCertificateMissing
	ClientCertificateInvalid
	ClientIdentity
	// Routing.
	NoListener
	NoRoute
	NoMethod
	NoBackend
	InvalidBackend
	InvalidFilter
	Misdirected
	PortRemoved
	// Authorization.
	PolicyDenied
	BadPassport
	NoProgram
	// The backend.
	NoEndpoint
	Overloaded
	ProxyOverloaded
	ConnectRefused
	ConnectTimeout
	ConnectFailed
	UpstreamTLS
	UpstreamIdentity
	NoIdentity
	UpstreamReset
	UpstreamStreamReset
	UpstreamBadResponse
	UpstreamHeadTooLarge
	UpstreamBadMessage
	UpstreamTimeout
	RequestTimeout
	StreamIdle
	StreamTimeout
	ShapeFull
	// Why a try that failed was not made again.
	RetryBudget
	RetryLate
	RetryAfter
	RetryLimit
	RetryBody
	// Connections and datagrams that are not requests.
	BadProxyHeader
	ProxyHeaderTimeout
	NoFlow
	OutboundRefused
	OutboundUnproven
	OutboundUnknown
	OutboundPort
	PlaintextRefused
	FlowIdle
	TooManySessions
	DatagramLost

	// Answered on purpose.
	Redirected
	Responded
	FaultInjected
	Preflight
	Challenged
	// The process.
	Draining
	Internal

	// Reasons is the number of codes; arrays are indexed by Reason.
	Reasons
)

// Info explains a Reason.
type Info struct {
	// Code is the short name on the wire and in metrics.
	Code string
	// Status is what the client gets, 0 where it can get nothing.
	Status int
	// Title is one short sentence, the "title" of the problem document.
	Title string
	// Flag is Envoy's response flag with the same meaning, "" if none: then
	// Reason.NoFlag says why.
	Flag string
	// Means and Do are for a person: what happened, and what to do.
	Means, Do string
}

// Info of the Reason; an unknown Reason gets Internal's.
func (r Reason) Info() *Info {
	if r >= Reasons {
		r = Internal
	}
	return &infos[r]
}

// String gives the code, "" for ReasonNone.
func (r Reason) String() string { return r.Info().Code }

// ReasonByCode finds a Reason by its code.
func ReasonByCode(code string) (Reason, bool) {
	for i := range infos {
		if infos[i].Code == code && code != "" {
			return Reason(i), true
		}
	}
	return ReasonNone, false
}
