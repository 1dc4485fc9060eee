package proxy

import (
	"time"

	"github.com/naru-mesh/naru/filter"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/route"
	"github.com/naru-mesh/naru/upstream"
	"github.com/naru-mesh/naru/wire"
)

// exchange is a request on its way: the sink of both codecs. It lives in its
// worker's pool and is touched only by its loop.
type exchange struct {
	filter.Exchange
	w      *worker
	door   *door
	stream wire.ServerStream // nil once the response has ended

	prog     *Program // pinned from begin to finish
	listener *listener
	rule     *rule
	backend  *backend
	hit      route.Hit
	params   [route.MaxParams]filter.Param

	// The try in hand. client is nil between tries.
	client   wire.ClientStream
	endpoint *upstream.Endpoint
	tried    upstream.Tried
	tries    int
	extra    int // tries made without being declared: unsent or stale
	tryBegan time.Duration
	upstream time.Duration
	detail   error

	// replay holds the request's body so far, as long as another try may need
	// it; whole says that nothing of it was let go.
	replay []byte
	whole  bool

	requestEnded bool
	held         bool // the client is paused because the body has nowhere to go
	answered     bool // the response's head was given to the codec
	tunnel       bool
	status       int

	mirrors      []*mirror
	tryTimer     wire.Timer
	requestTimer wire.Timer
}

// Kinds of an exchange's timers.
const (
	timerTry     = iota + 1 // one try takes too long, or a back-off ends
	timerRequest            // the whole takes too long
)

// keepReplay bounds what of a request's body is kept for another try.
const keepReplay = 64 << 10

// begin pins the Program of now.
func (x *exchange) begin() {
	w := x.w
	x.prog = w.proxy.program.Load()
	if x.prog != nil {
		x.prog.pinned(w.index)
	}
	w.active.Store(w.active.Load() + 1)
	w.begun.Store(w.begun.Load() + 1)
}

// drop gives up whatever runs for the exchange on the service's side.
func (x *exchange) drop() {
	x.cancel()
	for _, m := range x.mirrors {
		m.abandon()
	}
	x.mirrors = x.mirrors[:0]
}

// cancel gives up the try in hand.
func (x *exchange) cancel() {
	if c := x.client; c != nil {
		x.client = nil
		c.Cancel()
	}
}

// finish writes the record and takes the exchange apart. The response has
// ended, or never can.
func (x *exchange) finish() {
	w := x.w
	x.stream = nil
	w.loop.Disarm(&x.tryTimer)
	w.loop.Disarm(&x.requestTimer)
	x.drop()
	x.account()
	if x.prog != nil {
		x.prog.unpinned(w.index)
	}
	w.active.Store(w.active.Load() - 1)
	w.release(x)
}

// clear makes the exchange ready for another request, keeping its memory.
func (x *exchange) clear() {
	x.Request.Reset()
	x.Response.Reset()
	x.Peer, x.Upgrade, x.ExpectContinue = nil, nil, false
	x.Began, x.Headed, x.BytesIn, x.BytesOut = 0, 0, 0, 0
	x.Scheme, x.Port, x.Listener = "", 0, ""
	x.Matched, x.Params, x.Body, x.Why = 0, nil, nil, observe.ReasonNone
	x.door, x.stream, x.prog, x.listener, x.rule, x.backend = nil, nil, nil, nil, nil, nil
	x.client, x.endpoint, x.detail = nil, nil, nil
	x.tried.Reset()
	x.tries, x.extra, x.tryBegan, x.upstream = 0, 0, 0, 0
	x.replay = x.replay[:0]
	x.whole = false
	x.requestEnded, x.held, x.answered, x.tunnel, x.status = false, false, false, false, 0
}

// OnTimer ends what takes too long, and begins the next try after a back-off.
func (x *exchange) OnTimer(t *wire.Timer) {
	switch {
	case t.Kind == timerRequest:
		x.fail(observe.RequestTimeout)
	case x.client == nil:
		x.try(false)
	default:
		x.tryFailed(wire.Failure{Reason: observe.UpstreamTimeout})
	}
}
