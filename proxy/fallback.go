package proxy

import (
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/upstream"
	"github.com/naru-mesh/naru/wire"
)

// While a rollout is under way, a request that could not be sent to the new version
// goes to what served before: clients should not notice a version that is not there,
// and nobody has begun with the request. It counts as one that the new version has
// failed, so that the rollout goes back as if clients had noticed.

// fallsAtOnce is asked before another try at the new version. That is of no use
// where none of its endpoints is left, and takes too long where the last has let us
// wait for its connection.
func (x *exchange) fallsAtOnce(f *wire.Failure) bool {
	return x.rule.trials != nil && !f.Reused && (f.Reason == observe.ConnectTimeout || !x.backend.cluster.Another(&x.tried)) && x.falls(f)
}

// falls makes a try at an old version after f, where the new one has not got the
// request, and says whether.
func (x *exchange) falls(f *wire.Failure) bool {
	return f.Unsent && x.whole && x.fall(f.Reason, x.replay, false)
}

// fallsUnseen does so in place of an answer that says that nobody has seen the
// request.
func (x *exchange) fallsUnseen() bool {
	if !x.whole {
		return false
	}
	b := x.before()
	if b == nil {
		return false
	}
	x.cancel()
	x.fallTo(b, observe.NoEndpoint, x.replay, false)
	return true
}

// fall leads the request, of which data is the body so far, to an old version and
// says whether there is one. why is why the new one was not asked.
func (x *exchange) fall(why observe.Reason, data []byte, fresh bool) bool {
	b := x.before()
	if b != nil {
		x.fallTo(b, why, data, fresh)
	}
	return b != nil
}

// before is the old version that a request to the new one may fall back on, nil
// where there is none: without a rollout that is under way; where the request fell
// back already, is to be sent once, or has an answer; where one instance is meant
// and no other; and where filters have made it the new version's.
func (x *exchange) before() *backend {
	r := x.rule
	if r.trials == nil || x.fell || x.earlier || r.retry.off() || x.backend.noun.Service != r.noun.Rollout.To || x.backend.chain != nil || x.tried.Only.IsValid() {
		return nil
	}
	list, total := r.backends, 0
	for i := range list {
		if b := &list[i]; b.old(r) {
			total += b.noun.Weight
		}
	}
	if total == 0 { // the new one gets everything
		list = r.former
	}
	n := x.w.rnd.IntN(max(total, 1))
	for i := range list {
		if b := &list[i]; b.old(r) {
			if n -= max(b.noun.Weight, 1); n < 0 {
				return b
			}
		}
	}
	return nil
}

// old says whether requests may fall back on b, which gets them as their clients
// have sent them.
func (b *backend) old(r *rule) bool {
	return b.noun.Service != r.noun.Rollout.To && b.cluster != nil && b.chain == nil
}

// fallTo makes the try. b pays for no retry: without the rollout it would have been
// asked at first.
func (x *exchange) fallTo(b *backend, why observe.Reason, data []byte, fresh bool) {
	w, g := x.w, x.w.proxy.opt.Registry
	if h := x.hedge; h != nil && !h.won {
		h.abandon()
	}
	x.endRetry()
	r := &w.record
	*r = observe.Record{Loop: w.index, Duration: w.loop.Now() - x.asked, Status: why.Info().Status, Reason: why}
	x.backend.counts(g, w.index).Done(r)
	if b.host != "" {
		x.Request.Authority = x.Request.Keep([]byte(b.host))
	} else if x.backend.host != "" {
		x.Request.Authority = x.authority
	}
	x.fell, x.backend = true, b
	x.causeBefore, x.cause = x.cause, upstream.Fallback
	x.failed, x.notAgain = observe.ReasonNone, observe.ReasonNone
	x.extra++ // no rule has asked for it
	x.tried.Reset()
	x.noPauses()
	b.counts(g, w.index).Begin()
	b.cluster.Asked(w.loop)
	b.cluster.Free(w.loop, upstream.Fallback)
	x.send(data, fresh)
}
