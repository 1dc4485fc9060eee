package proxy

import (
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/upstream"
)

// tell counts a finished request for the rollout that its rule is part of. The
// service is judged, not its client and not naru.
func (x *exchange) tell(r *observe.Record) {
	t, arm := x.trial()
	if x.upstream == 0 {
		t.Headed(arm)
	}
	switch fault := x.fault(r); {
	case fault == nobodys && x.upstream == 0:
		t.GaveUp(arm, x.w.loop.Now()-x.asked)
	case fault != nobodys:
		t.Done(arm, fault == services, x.upstream)
	}
}

// trial is where the request counts, and for which side. Its rule has trials.
func (x *exchange) trial() (*observe.Trial, observe.Arm) {
	o := x.rule.noun.Rollout
	t := x.rule.trials[x.w.index]
	if t == nil {
		t = x.w.proxy.opt.Registry.Trial(o.Run, x.w.index)
		x.rule.trials[x.w.index] = t
	}
	if x.fell || x.backend.noun.Service == o.To {
		return t, observe.Canary
	}
	return t, observe.Baseline
}

// blame is whose fault it is that a request has failed.
type blame uint8

const (
	none     blame = iota
	services       // the service's
	nobodys        // neither the service's, nor has it succeeded: it says nothing
)

// fault says whether the service has failed a request. One that was tried again
// because a try had failed counts, although its client has seen nothing of it:
// retries must not hide how a version does.
func (x *exchange) fault(r *observe.Record) blame {
	if x.fell {
		return services // the new version's, whatever the old one has made of it
	}
	switch x.cause {
	case upstream.Unconnected, upstream.Reset, upstream.TimedOut, upstream.Status, upstream.GRPCStatus:
		return services
	}
	switch why := r.Reason; why {
	case observe.NoEndpoint, observe.Overloaded, observe.ConnectRefused, observe.ConnectTimeout, observe.ConnectFailed,
		observe.UpstreamTLS, observe.UpstreamIdentity, observe.UpstreamReset, observe.UpstreamStreamReset, observe.UpstreamBadResponse,
		observe.UpstreamHeadTooLarge, observe.UpstreamBadMessage, observe.UpstreamTimeout, observe.RequestTimeout, observe.StreamIdle:
		return services
	default:
		if why != observe.ReasonNone && !onPurpose(why) {
			return nobodys
		}
	}
	switch {
	case r.GRPC && upstream.ServerFault(int(r.GRPCStatus)):
		return services
	case r.Status >= 500 && r.Status != 501 && r.Status != 505:
		return services // those two are the request's fault
	}
	return none
}
