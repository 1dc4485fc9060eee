package proxy

import (
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/upstream"
	"github.com/naru-mesh/naru/wire"
)

// account writes the one Record of a finished exchange: metrics and access
// log are made from it.
func (x *exchange) account() {
	w := x.w
	r, to := &w.record, w.proxy.recorder.Load()
	if to != nil {
		*r = observe.Record{} // what describe leaves out is of no other request
	}
	r.Loop, r.Duration = w.index, w.loop.Now()-x.Began
	r.Status, r.Reason = x.status, x.Why
	r.BytesIn, r.BytesOut = x.BytesIn, x.BytesOut
	r.GRPC = false
	if x.GRPC || x.RPC != wire.NoRPC {
		r.GRPC, r.GRPCStatus = true, x.grpcStatus()
		if path := x.Request.Path; len(path) > 0 {
			r.GRPCMethod = path[1:]
		}
	}
	g := w.proxy.opt.Registry
	if x.rule != nil {
		x.rule.counts(g, w.index).Done(r)
		if r.GRPC {
			x.rule.called(g, w.index, r)
		}
		if x.tries > 0 {
			x.backend.counts(g, w.index).Done(r)
			if x.rule.trials != nil {
				x.tell(r)
			}
		}
	} else {
		if w.lost == nil {
			w.lost = g.Traffic(observe.ScopeRoute, "", w.index)
		}
		w.lost.Begin()
		w.lost.Done(r)
	}
	if x.Why != observe.ReasonNone && !onPurpose(x.Why) {
		g.Refused(w.index, x.Why)
	}
	if to != nil {
		x.describe(r)
		(*to).Write(r)
	}
}

// onPurpose are the answers that naru gives by itself because it was told to.
func onPurpose(why observe.Reason) bool {
	return why == observe.Redirected || why == observe.Responded || why == observe.Preflight || why == observe.Challenged
}

// describe fills in what only the access log wants.
func (x *exchange) describe(r *observe.Record) {
	h := &x.Request
	r.Start = x.w.wall(x.Began)
	r.Upstream, r.Attempts, r.Detail = x.upstream, x.tries, x.detail
	if x.tries > 1 {
		r.Retried = x.cause.String()
	}
	r.NotRetried, r.Flags = x.notAgain, x.flags()
	if x.Detail != nil {
		r.Detail = x.Detail
	}
	if x.tries == 1 && x.endpoint == nil && x.away == nil {
		r.Attempts = 0 // there was no room or nobody to ask
	}
	r.Method, r.Host, r.Path, r.Query = x.method, x.host, x.path, x.query
	r.UserAgent, _ = h.Get(keyUserAgent)
	r.RequestID, _ = h.Get(keyRequestID)
	r.Scheme, r.Minor, r.Listener = x.Scheme, h.Minor, x.Listener
	if x.Peer != nil {
		r.Remote, r.Client = x.Peer.Remote, x.Peer.Remote.Addr().Unmap()
		if x.Peer.TLS != nil {
			r.Subject = x.Peer.TLS.Subject
		}
		if r.Scheme == "" { // no listener was found
			r.Scheme = "http"
			if x.Peer.TLS != nil {
				r.Scheme = "https"
			}
		}
		if x.listener != nil && x.listener.noun.TrustedHops > 0 {
			r.Client = x.clientAddr()
		}
	}
	if x.rule != nil {
		r.Route = x.rule.noun.Name
	}
	if x.backend != nil {
		r.Service = x.backend.noun.Service
	}
	if x.endpoint != nil {
		r.Endpoint, r.Chosen = x.endpoint.Addr(), x.chosen.String()
	}
	if x.away != nil {
		r.Endpoint = x.away.at
	}
	if x.listener != nil {
		r.Source, r.Destination = x.listener.ends(x.Peer, x.endpoint)
	}
}

// flags are Envoy's letters for how it went.
func (x *exchange) flags() observe.Flags {
	if x.Why == observe.ReasonNone && x.tries < 2 && x.Delay == 0 {
		return 0 // nearly always
	}
	f := x.Why.Flags()
	if x.exhausted() {
		f |= observe.FlagURX
	}
	if g := x.shaped; g != nil && g.faulty || g == nil && x.Delay > 0 {
		f |= observe.FlagDI
	}
	return f
}

// exhausted says whether the exchange has failed when no try was left to it that
// its rule would have made: all were made, or the budget was spent.
func (x *exchange) exhausted() bool {
	switch {
	case x.notAgain == observe.RetryBudget:
		return true
	case x.tries < 2 || x.away != nil || x.left():
		return false
	}
	r := &x.rule.retry
	return r.answered(x.status) || x.coded && r.grpc>>x.code&1 != 0 || upstream.IsConnect(x.Why) ||
		x.Why == observe.UpstreamReset || x.Why == observe.UpstreamStreamReset || x.Why == observe.UpstreamTimeout
}
