package filter

import (
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// Authorizer decides by the policies of one Target who may come in. It is built
// once for a Program, does not change, and is asked by all loops: no decision
// locks, and none allocates but those by a CEL expression.
//
// A connection that is bytes to its end is asked about when it begins, before
// anything is passed on; of one that carries HTTP each request is (Request).
type Authorizer interface {
	// Connection decides about a connection or tunnel that is not HTTP, and
	// counts. port is the workload's, or the listener's; sni is what the client
	// asks for by TLS that is not ended here, "" without.
	Connection(peer *wire.Peer, port uint16, sni string) Decision
	// Recheck decides again about what was let in, after a change of policies: a
	// connection, or, where x is not nil, a request. x is that as it was when it
	// came, and holds the answer where it is refused now. Counted is only what is
	// refused, or would be by a dry run.
	Recheck(peer *wire.Peer, port uint16, sni string, x *Exchange) Decision
	// Bars says that no request of that peer to the port could be let in. It
	// counts nothing.
	Bars(peer *wire.Peer, port uint16) bool
	// Request is the filter of requests that come to that port, to be run
	// before all others; nil where no policy applies.
	Request(port uint16) Request
	// Same says that another decides as this one does, so that nothing needs to
	// be asked again.
	Same(other Authorizer) bool
}

// Target is what policies are for.
type Target struct {
	// Service names a Service of the mesh; Listener, in its place, a Listener.
	Service, Listener string
	// Namespace is that of the workload, or of the gateway.
	Namespace string
	// TrustDomain is our own.
	TrustDomain string
}

// Decision is what an Authorizer thinks of a connection.
type Decision struct {
	// Why is observe.PolicyDenied where it is refused, ReasonNone otherwise.
	Why observe.Reason
	// Policy and Rule are those that decided, "" where none had to. Where no
	// allow matched, Policy is the first of them and Rule is "".
	Policy, Rule string
	// Detail says so in words, for the log; nil where it is let in.
	Detail error
}

// Refused says that nothing may pass.
func (d *Decision) Refused() bool { return d.Why != observe.ReasonNone }

// Caller is on whose behalf a request is made, as somebody has proved: by a
// passport or a token that was checked. It is not written to once it is known.
type Caller struct {
	// Issuer says so: the "iss" of the token.
	Issuer string
	// Subject is who it is: "sub".
	Subject string
	// Claims are all claims as JSON has them: string, float64, bool, []any,
	// map[string]any.
	Claims map[string]any
}

// Applies says whether a policy is for a target.
func (t *Target) Applies(p *model.Policy) bool {
	list, name := p.Services, t.Service
	if t.Listener != "" {
		list, name = p.Listeners, t.Listener
	}
	if len(p.Services) == 0 && len(p.Listeners) == 0 {
		// Every workload; a gateway's clients are nobody of the mesh.
		return t.Listener == "" && (p.Namespace == "" || p.Namespace == t.Namespace)
	}
	for _, s := range list {
		if model.Covers(s, name) {
			return true
		}
	}
	return false
}
