package proxy

import (
	"errors"
	"net/netip"
	"time"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/upstream"
	"github.com/naru-mesh/naru/wire"
)

// conversation is a connection of a flow, with what it leads to. Only its loop
// touches it. The client is paused until a service stands behind it, so that
// nothing of it is lost where another endpoint must be tried.
type conversation struct {
	door         *door
	w            *worker
	older, newer *conversation // of the same door

	prog     *Program // pinned until the service's connection stands
	listener *listener
	flow     *flow
	backend  *flowBackend
	name     string           // SNI
	asked    netip.AddrPort   // by a PROXY header, invalid without one
	stranger netip.AddrPort   // of no service: it is passed on there
	others   []netip.AddrPort // the stranger's further addresses
	barred   observe.Reason   // it is here for its record alone
	guard    *listener        // whose policies apply; nil without

	client, service half
	lease           *upstream.Lease
	endpoint        *upstream.Endpoint // that was tried last, nil without one
	chosen          upstream.Choice    // why it was
	tried           upstream.Tried
	held            []byte // what the client has sent before there was a service
	greeting        []byte // what the service has sent before its client, while that is wary

	passed
	idle    time.Duration // 0 none
	last    time.Duration // when something passed
	timer   wire.Timer    // idleness, and the last bytes of what has ended
	expiry  wire.Timer    // when it may not go on any longer
	left    int           // bytes that wait to be sent after both ends
	leaving bool          // expiry is armed
	fresh   bool          // the next tunnel is one on a new connection
	wary    bool          // nothing of the client has passed: it could be HTTP yet
	turned  bool          // it was, and its client is served by a codec
	retries bool          // a try runs that the budget has allowed
	early   bool          // the client ended before there was a service
	ended   bool
}

// half is one side of a conversation: its handler. What comes in goes out at
// the other.
type half struct {
	of    *conversation
	conn  wire.Conn
	other *half
	eof   bool
}

// Kinds of a conversation's timers.
const (
	timerIdle    = iota + 1 // nothing passes
	timerEnding             // both sides have ended, bytes are left
	timerExpiry             // listener or endpoint are gone
	timerConnect            // a stranger does not answer
)

// endingTick is how often it is looked whether the last bytes are out.
const endingTick = 50 * time.Millisecond

// begin makes c the client's side. held is what it has sent already, lent.
func (k *conversation) begin(c wire.Conn, held []byte) {
	w := k.w
	w.begun.Add(1)
	k.client = half{of: k, conn: c, other: &k.service}
	k.service = half{of: k, other: &k.client}
	k.timer.Handler, k.expiry.Handler, k.expiry.Kind = k, k, timerExpiry
	k.older = k.door.newest
	if k.older != nil {
		k.older.newer = k
	}
	k.door.newest = k
	c.SetHandler(&k.client)
	c.Pause()
	k.held = append(k.held, held...)
	if k.prog = w.proxy.program.Load(); k.prog != nil {
		k.prog.pinned(w.index)
	}
	if k.listener != nil {
		k.flow, _ = k.listener.flows.FindString(k.name)
	}
	if why := k.admitted(); why != observe.ReasonNone {
		k.fail(why)
		return
	}
	if k.stranger.IsValid() {
		if k.shed() {
			return
		}
		k.passOn()
		return
	}
	if k.flow == nil {
		k.fail(observe.NoFlow)
		return
	}
	b, why := k.flow.choose(w)
	k.backend = b
	k.traffic = w.counted(k.flow, b)
	k.passed.begin()
	if why != observe.ReasonNone {
		k.fail(why)
		return
	}
	if !k.wary && k.shed() { // of what may be HTTP yet the requests are asked about
		return
	}
	k.idle = idleOf(k.flow.noun.Idle, model.DefaultFlowIdle)
	k.tried.Only = k.listener.instance(k.client.conn.Peer())
	if k.door.closing.Load() {
		k.expire()
	}
	k.connect()
}

// connect tries the next endpoint.
func (k *conversation) connect() {
	a := k.backend.ask(k.flow, &k.tried, k.client.conn.Peer().Remote)
	lease, why := k.backend.cluster.Lease(k.w.loop, &a, k)
	if lease == nil {
		if k.tries == 0 { // otherwise it is told why the last try failed
			k.detail = k.backend.cluster.Because(why, a.Met)
		}
		k.fail(why)
		return
	}
	if k.tries++; k.tries == 1 {
		k.backend.cluster.Asked(k.w.loop)
	}
	k.lease, k.endpoint, k.chosen = lease, lease.Endpoint(), lease.Chosen
	k.tried.Add(k.endpoint)
	lease.Fresh = k.fresh
	k.service.conn = lease.Dial(&k.service)
}

// another tries again after a connection that never stood (nil: in time), as
// long as that makes sense. Nothing was sent.
func (k *conversation) another(err error) {
	if k.detail = err; err == nil {
		k.detail = errSlow
	}
	if k.lease == nil {
		if !k.elsewhere() {
			k.fail(wire.DialReason(err))
		}
		return
	}
	why := k.lease.Failed(err)
	k.lease, k.service.conn = nil, nil
	k.endRetry()
	if errors.Is(err, wire.ErrStale) && !k.fresh {
		k.fresh = true
		k.tried.Reset()
		k.tried.Only = k.listener.instance(k.client.conn.Peer())
		k.connect()
		return
	}
	if why != observe.PolicyDenied && k.tries <= mostExtra && k.backend.cluster.Another(&k.tried) && k.affords() {
		k.connect()
		return
	}
	k.fail(why)
}

// affords takes another try out of the service's budget, as for a request.
func (k *conversation) affords() bool {
	k.notAgain = k.backend.cluster.Again(k.w.loop, upstream.Unconnected)
	k.retries = k.notAgain == observe.ReasonNone
	return k.retries
}

func (k *conversation) endRetry() {
	if k.retries {
		k.retries = false
		k.backend.cluster.RetryEnded()
	}
}

// errSlow is the cause where an endpoint does not answer at all.
var errSlow = errors.New("no connection within the service's connect time")

// OnSlow: the endpoint does not answer.
func (k *conversation) OnSlow() {
	if conn := k.service.conn; conn != nil {
		conn.Abort()
	}
	k.another(nil)
}

// OnRemoved: the endpoint is configured no more.
func (k *conversation) OnRemoved() { k.expire() }

// expire lets the conversation go on for the drain time and no longer.
func (k *conversation) expire() {
	if !k.leaving && !k.ended {
		k.leaving = true
		k.w.loop.Arm(&k.expiry, k.w.proxy.opt.Drain)
	}
}

// expire is called when the port is gone from the configuration.
func (d *door) expire() {
	for k := d.newest; k != nil; k = k.older {
		k.expire()
	}
}

// OnOpen: the service's side stands, and bytes may pass.
func (h *half) OnOpen() {
	k := h.of
	if h != &k.service || k.ended {
		return
	}
	if k.lease != nil {
		k.lease.Stands()
		if k.retries {
			k.backend.cluster.Won(k.w.loop, upstream.Unconnected)
			k.endRetry()
		}
	}
	k.unpin()
	k.detail = nil
	k.connected = k.w.loop.Now()
	k.last = k.connected
	k.w.loop.Disarm(&k.timer)
	k.introduce()
	if !k.wary {
		k.join()
	}
	if k.idle > 0 {
		k.timer.Kind = timerIdle
		k.w.loop.Arm(&k.timer, k.idle)
	}
	k.client.conn.Resume()
	if k.wary && len(k.held) > 0 {
		k.suspect(nil)
	}
	if k.early && !k.ended {
		k.client.OnEOF()
	}
}

// join lets bytes pass unseen, where both sides can do that.
func (k *conversation) join() {
	if a, ok := k.client.conn.(wire.Forwarder); ok {
		if b, ok := k.service.conn.(wire.Forwarder); ok {
			a.Forward(b, &k.client)
			b.Forward(a, &k.service)
		}
	}
}

// introduce writes what the service gets first: who the client is, and what
// that has sent already.
func (k *conversation) introduce() {
	var header []byte
	version := 0
	if k.backend != nil {
		version = k.backend.cluster.Service().ProxyProtocol
	}
	if version != 0 {
		peer := k.client.conn.Peer()
		h := wire.ProxyHeader{Remote: peer.Remote, Local: peer.Local}
		if k.asked.IsValid() {
			h.Local = k.asked
		}
		header = wire.AppendProxyHeader(k.w.out[:0], version, h)
	}
	held := k.held
	if k.wary {
		held = nil
	} else {
		k.held = nil
	}
	if len(header)+len(held) > 0 {
		k.service.conn.Write(header, held)
		k.moved(len(held), 0)
	}
}

// OnData passes on what came.
func (h *half) OnData(b []byte) {
	if h.of.wary {
		if h == &h.of.client {
			h.of.suspect(b)
		} else {
			h.of.hear(b)
		}
		return
	}
	h.OnForwarded(len(b))
	to := h.other.conn
	to.Write(b, nil)
	if to.Buffered() > highWater {
		h.conn.Pause()
	}
}

// OnForwarded: so many bytes were passed on unseen.
func (h *half) OnForwarded(n int) {
	k := h.of
	k.last = k.w.loop.Now()
	if h == &k.client {
		k.moved(n, 0)
	} else {
		if k.out == 0 && k.lease != nil {
			k.lease.Heard()
		}
		k.moved(0, n)
	}
}

// OnDrained lets the other side send on.
func (h *half) OnDrained() {
	if h.other.conn != nil {
		h.other.conn.Resume()
	}
}

// OnEOF passes the end of one direction on; the other may last.
func (h *half) OnEOF() {
	k := h.of
	if k.wary {
		k.trust() // a part of a request is none
	}
	if k.ended {
		return
	}
	h.eof = true
	k.last = k.w.loop.Now()
	h.other.conn.CloseWrite()
	if h.other.eof {
		k.timer.Kind = timerEnding
		k.finish()
	}
}

// finish closes both sides once all that was to be sent is.
func (k *conversation) finish() {
	left := k.client.conn.Buffered() + k.service.conn.Buffered()
	now := k.w.loop.Now()
	switch {
	case left == 0:
		k.client.conn.Close()
		k.service.conn.Close()
		k.end()
		return
	case left != k.left:
		k.left, k.last = left, now
	case now-k.last > pick(k.idle, model.DefaultFlowIdle):
		k.fail(observe.FlowIdle)
		return
	}
	k.w.loop.Arm(&k.timer, endingTick)
}

// OnClose: one side is gone, by an error; the other shall see that.
func (h *half) OnClose(err error) {
	k := h.of
	switch {
	case k.ended:
	case errors.Is(err, wire.ErrClosed) && k.w.proxy.draining.Load():
		k.fail(observe.Draining)
	case h == &k.client:
		k.detail = err
		k.fail(observe.ClientGone)
	case k.connected == 0:
		k.another(err)
	default:
		if k.out == 0 && k.lease != nil && !k.client.eof {
			k.lease.Broke()
		}
		k.detail = err
		k.fail(observe.UpstreamReset)
	}
}

// OnTimer ends what is idle, or has been here too long.
func (k *conversation) OnTimer(t *wire.Timer) {
	switch t.Kind {
	case timerIdle:
		if rest := k.last + k.idle - k.w.loop.Now(); rest > 0 {
			k.w.loop.Arm(&k.timer, rest)
			return
		}
		k.fail(observe.FlowIdle)
	case timerEnding:
		k.finish()
	case timerExpiry:
		k.fail(observe.Draining)
	case timerConnect:
		k.service.conn.Abort()
		if !k.elsewhere() {
			k.fail(observe.ConnectTimeout)
		}
	}
}

// fail resets both sides.
func (k *conversation) fail(why observe.Reason) {
	if k.ended {
		return
	}
	k.why = why
	if r, ok := k.client.conn.(wire.Refuser); ok {
		r.Refuse(why)
	}
	k.client.conn.Abort()
	if k.service.conn != nil {
		k.service.conn.Abort()
	}
	k.end()
}

// end takes the conversation apart and writes its record. Both sides are
// closed.
func (k *conversation) end() {
	k.ended = true
	w := k.w
	k.unpin()
	w.loop.Disarm(&k.timer)
	w.loop.Disarm(&k.expiry)
	if k.newer != nil {
		k.newer.older = k.older
	} else {
		k.door.newest = k.older
	}
	if k.older != nil {
		k.older.newer = k.newer
	}
	if k.lease != nil {
		k.lease.End()
	}
	k.endRetry()
	w.ended.Add(1)
	if k.turned {
		k.uncount() // its requests have records of their own
		return
	}
	k.account(w, k.describe)
}

func (k *conversation) unpin() {
	if p := k.prog; p != nil {
		k.prog = nil
		p.unpinned(k.w.index)
	}
}

// describe fills in what only the access log wants.
func (k *conversation) describe(r *observe.Record) {
	peer := k.client.conn.Peer()
	r.Remote, r.Client = peer.Remote, peer.Remote.Addr().Unmap()
	r.Scheme, r.Host = "tcp", []byte(k.name)
	if peer.TLS != nil || k.name != "" && (k.listener == nil || k.listener.noun.Mesh == nil) {
		r.Scheme = "tls" // the name is its SNI; in the mesh it is who was meant
	}
	if k.listener != nil {
		r.Listener = k.listener.noun.Name
		if k.listener.noun.Mesh == nil {
			r.Scheme = k.listener.scheme
		}
	}
	if k.flow != nil {
		r.Flow = k.flow.noun.Name
	}
	if k.backend != nil {
		r.Service = k.backend.noun.Service
	}
	r.Endpoint = k.stranger
	if k.endpoint != nil { // though its lease is gone where it could not be connected to
		r.Endpoint, r.Chosen = k.endpoint.Addr(), k.chosen.String()
	}
	if k.listener != nil {
		r.Source, r.Destination = k.listener.ends(peer, k.endpoint)
	}
}
