package proxy

import (
	"time"

	"github.com/naru-mesh/naru/filter"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/route"
	"github.com/naru-mesh/naru/upstream"
	"github.com/naru-mesh/naru/upstream/queue"
	"github.com/naru-mesh/naru/wire"
)

// exchange is a request on its way: the sink of both codecs. It lives in its
// worker's pool and is touched only by its loop.
type exchange struct {
	filter.Exchange

	// From here to the timers stands what every request reads and writes, so that
	// the processor fetches no more than that: with many connections none of it is
	// near when its turn comes.
	w            *worker
	door         *door
	stream       wire.ServerStream
	newer, older *exchange // beside it in worker.running, while it lives
	live         bool      // between begin and finish
	untold       bool      // how the try went has not been told
	dialled      bool      // its connection was made for it
	queued       bool      // it has a place among those who wait at the service: waiter
	fresh        bool      // likewise, and wants a connection that is
	retrying     bool      // a try runs, or will, that the budget has allowed
	requestEnded bool
	held         bool // the client is paused because the body has nowhere to go

	prog     *Program // pinned from begin until no other try can follow
	listener *listener
	rule     *rule
	backend  *backend
	client   wire.ClientStream // of the try in hand; nil between tries
	endpoint *upstream.Endpoint
	flowing  bool // the response goes on after its head
	bounded  bool // requestTimer is the rule's stream timeout
	answered bool // the response's head was given to the codec
	whole    bool // replay has all of the body so far
	chosen   upstream.Choice
	cause    upstream.Cause // of the last try after the first
	notAgain observe.Reason // why another try was not made
	fell     bool           // the new version of a rollout could not be asked: an old one is
	bad      bool           // it was told that the answer is: how it ends says no more
	coded    bool           // of a gRPC call: it has told code, its status
	code     observe.GRPCCode

	picked   time.Duration // when this try began
	asked    time.Duration // when the first try began
	upstream time.Duration
	// Since when it is the service's turn, 0 while it is the client's, and how
	// long it was before.
	since, spent time.Duration
	// due is when the exchange's time is over (Loop.Now; 0 never).
	due    time.Duration
	status int
	tries  int

	// The Bodies in the way of the request's and the response's body; nil
	// without.
	in, out *pipe
	away    *abroad // to what is no service; nil otherwise
	hedge   *hedge  // nil without a second try beside the first, made or to be made
	shaped  *shaped // nil where requests and bodies pass as fast as they come
	// Of before the last try: an answer that was to be tried again (earlier), the
	// rest of whose body waits in former; its cause, and why it failed.
	former              wire.ClientStream
	earlier, earlierEnd bool
	causeBefore         upstream.Cause
	failed              observe.Reason
	pauses              *upstream.Pauses // nil until an answer is to be tried again
	// sessionBegan is in Unix seconds; session is below.
	sessionBegan uint32

	tried upstream.Tried
	// replay holds the request's body so far, as long as another try may need it,
	// in a buffer of the worker's.
	replay      []byte
	earlierBody []byte
	detail      error
	session     uint64 // that the request is in, 0 none
	extra       int    // tries made without being declared: unsent or stale
	// What the client asked for, before anything was rewritten: for the record.
	method, host, path, query []byte
	// hops is the X-Forwarded-For that stamp made for trusted hops.
	hops []byte
	// authority is the Host before the service's took its place.
	authority []byte
	mirrors   []*mirror

	tryTimer     wire.Deadline
	requestTimer wire.Deadline

	tunnelled wire.RequestSink // of a CONNECT: the conversation's client
	waiter    queue.Waiter
	params    [route.MaxParams]filter.Param
}

// Warm implements wire.Warmer: a response has come. It reads a field of each 64
// bytes up to the timers, which is what the processor fetches at a time.
func (x *exchange) Warm() uint64 {
	q, r := &x.Request, &x.Response
	n := len(q.Method) + q.Status + len(q.Buf) + len(r.Path) + r.Status + len(r.Buf)
	n += int(x.BytesOut) + len(x.Listener) + len(x.Inward) + len(x.Body) + int(x.asked) + x.tries + x.tried.Len()
	n += len(x.replay) + len(x.method) + len(x.path) + len(x.mirrors) + int(x.tryTimer.Kind) + int(x.requestTimer.Kind)
	if x.rule == nil {
		n++
	}
	// Those beside it are told when it ends.
	if x.newer != nil && x.newer.older != x {
		n++
	}
	if x.older != nil && x.older.newer != x {
		n++
	}
	if w, ok := x.stream.(wire.Warmer); ok {
		n += int(w.Warm())
	}
	return uint64(n)
}

// Kinds of an exchange's timers.
const (
	timerTry     = iota + 1 // one try takes too long, or a back-off ends
	timerRequest            // the whole takes too long
)

// keepReplay is how much of a request's body is kept for another try where no rule
// says otherwise.
const keepReplay = model.DefaultRetryBody

// begin pins the Program of now.
func (x *exchange) begin() {
	w, h := x.w, &x.Request
	x.live = true
	x.enter()
	w.shelf.Lend(&x.Response)
	x.method, x.host, x.path, x.query = h.Method, h.Authority, h.Path, h.Query
	x.RPC = h.RPC()
	x.GRPC = x.RPC == wire.GRPC
	x.prog = w.proxy.program.Load()
	if x.prog != nil {
		x.prog.pinned(w.index)
	}
	w.begun.Add(1)
}

// settle is called when the response begins. No other try can follow, so the
// Program's clusters are not needed any more: a tunnel or a long download must
// not keep services that were removed alive.
func (x *exchange) settle() {
	x.answered = true
	if h := x.hedge; h != nil && !h.won {
		h.abandon()
	}
	x.advertise()
	x.unpin()
	x.letGo()
}

func (x *exchange) unpin() {
	if p := x.prog; p != nil {
		x.prog = nil
		p.unpinned(x.w.index)
	}
}

// drop gives up whatever runs for the exchange on the service's side.
func (x *exchange) drop() {
	x.cancel()
	if h := x.hedge; h != nil {
		h.abandon()
	}
	for _, m := range x.mirrors {
		m.abandon()
	}
	clear(x.mirrors)
	x.mirrors = x.mirrors[:0]
}

// cancel gives up the try in hand.
func (x *exchange) cancel() {
	x.told(upstream.Abandoned)
	x.leaveQueue()
	x.forget()
	if c := x.client; c != nil {
		x.client = nil
		c.Cancel()
	}
}

// finish ends the exchange and lends it to the next request. The response has
// ended, or never can.
func (x *exchange) finish() {
	x.end()
	x.w.release(x)
}

// end writes the record and takes the exchange apart.
func (x *exchange) end() {
	w := x.w
	x.live = false
	x.leave()
	x.stream = nil
	x.tryTimer.Stop()
	x.requestTimer.Stop()
	if x.client != nil || x.untold || x.queued || x.former != nil || x.earlierBody != nil || x.hedge != nil || len(x.mirrors) > 0 {
		x.drop() // mostly all has ended
	}
	if len(x.Inward) > 0 || len(x.Outward) > 0 {
		x.dropIn()
		x.dropOut()
	}
	x.endRetry()
	x.unpin()
	x.letGo()
	w.ended.Add(1)
	x.account()
	if x.shaped != nil {
		x.endShape()
	}
	if x.away != nil {
		x.away.x = nil
	}
}

// enter makes the exchange the newest of those that run.
func (x *exchange) enter() {
	w := x.w
	if x.older = w.running; x.older != nil {
		x.older.newer = x
	}
	w.running = x
}

// follow puts the exchange behind o among those that run.
func (x *exchange) follow(o *exchange) {
	x.newer, x.older = o, o.older
	if o.older = x; x.older != nil {
		x.older.newer = x
	}
}

// leave takes the exchange out of those that run.
func (x *exchange) leave() {
	if x.newer == nil {
		x.w.running = x.older
	} else {
		x.newer.older = x.older
	}
	if x.older != nil {
		x.older.newer = x.newer
	}
}

// clear makes the exchange ready for another request, keeping its memory. The
// codec resets Request when it begins to fill it.
func (x *exchange) clear() {
	x.w.shelf.Return(&x.Response)
	x.Peer, x.Upgrade, x.ExpectContinue = nil, nil, false
	x.Began, x.Headed, x.BytesIn, x.BytesOut = 0, 0, 0, 0
	x.Scheme, x.Port, x.Listener, x.RPC, x.GRPC = "", 0, "", wire.NoRPC, false
	if len(x.Inward) > 0 || len(x.Outward) > 0 {
		x.Inward, x.Outward = x.Inward[:0], x.Outward[:0]
	}
	x.newer, x.older = nil, nil
	clear(x.Params)
	x.Delay, x.Slow = 0, nil
	x.Matched, x.Params, x.Body, x.Why, x.Detail, x.Caller = 0, nil, nil, observe.ReasonNone, nil, nil
	x.door, x.stream, x.prog, x.listener, x.rule, x.backend = nil, nil, nil, nil, nil, nil
	x.method, x.host, x.path, x.query, x.hops, x.authority = nil, nil, nil, nil, nil, nil
	x.client, x.endpoint, x.detail, x.in, x.out, x.away, x.hedge = nil, nil, nil, nil, nil, nil, nil
	x.tried.Reset()
	x.noPauses()
	x.tries, x.extra, x.asked, x.upstream, x.picked, x.untold, x.dialled = 0, 0, 0, 0, 0, false, false
	x.live, x.whole, x.requestEnded, x.held, x.answered, x.flowing, x.bounded = false, false, false, false, false, false, false
	x.session, x.sessionBegan, x.chosen, x.shaped = 0, 0, upstream.Balanced, nil
	x.since, x.spent, x.queued, x.fresh, x.retrying, x.fell = 0, 0, false, false, false, false
	x.causeBefore, x.failed, x.earlier, x.earlierEnd, x.earlierBody, x.former = upstream.NoCause, observe.ReasonNone, false, false, nil, nil
	x.status, x.due, x.code, x.coded, x.bad = 0, 0, 0, false, false
	x.cause, x.notAgain = upstream.NoCause, observe.ReasonNone
}

// OnTimer ends what takes too long, and begins the next try after a back-off.
func (x *exchange) OnTimer(t *wire.Timer) {
	defer x.rescue()
	switch l := x.w.loop; {
	case t.Kind == timerRequest:
		if x.requestTimer.Over(l) {
			x.fail(x.late())
		}
	case !x.tryTimer.Over(l):
	case x.flowing:
		x.stalled()
	case x.client == nil:
		x.try(false)
	case x.away != nil:
		x.tryFailed(wire.Failure{Reason: observe.ConnectTimeout, Unsent: true})
	default:
		x.tryFailed(wire.Failure{Reason: observe.UpstreamTimeout})
	}
}
