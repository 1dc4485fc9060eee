package tunnel

import (
	"errors"
	"fmt"
	"net/netip"
	"syscall"

	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// Tunnels is wire.Tunneler.
type Tunnels struct{}

var _ wire.Tunneler = Tunnels{}

// errReset is why a tunnel ended that stood.
var errReset = errors.New("the tunnel was reset")

// refused is a proxy's answer to a CONNECT that it does not grant.
type refused int

func (r refused) Error() string {
	return fmt.Sprintf("the proxy of the endpoint does not grant a tunnel: status %d", int(r))
}

// Is lets wire.DialReason tell that nobody listens behind the proxy.
func (r refused) Is(target error) bool {
	return target == syscall.ECONNREFUSED && r == 503
}

// Dial is wire.Tunneler's.
func (Tunnels) Dial(c wire.ClientConn, l wire.Loop, addr netip.AddrPort, authority string, h wire.ConnHandler) wire.Conn {
	d := &dialled{loop: l, handler: h}
	d.peer.Remote = addr
	d.x.Connect(authority)
	d.stream = c.Send(&d.x, d, nil, false)
	return d
}

// dialled is a tunnel that was asked for: a Conn for its holder, and the sink
// of its stream.
type dialled struct {
	loop    wire.Loop
	handler wire.ConnHandler
	peer    wire.Peer
	x       wire.Exchange
	stream  wire.ClientStream
	held    []byte // written before it stands
	open    bool   // it was granted
	inEnd   bool   // the other side has ended
	outEnd  bool   // so have we
	gone    bool   // no event follows, and stream must not be used
}

func (d *dialled) Loop() wire.Loop                 { return d.loop }
func (d *dialled) Peer() *wire.Peer                { return &d.peer }
func (d *dialled) SetHandler(h wire.ConnHandler)   { d.handler = h }
func (d *dialled) Waiting() bool                   { return false }
func (d *dialled) Finish()                         { d.Close() }
func (d *dialled) OnInform(*wire.Head)             {}
func (d *dialled) OnResponseTrailers(t *wire.Head) { d.OnResponseData(nil, true) }

// Rank implements wire.Ranker.
func (d *dialled) Rank() wire.Rank { return wire.RankOf(d.handler) }

// usable says whether the stream still is.
func (d *dialled) usable() bool { return !d.gone && !(d.inEnd && d.outEnd) }

func (d *dialled) Write(a, b []byte) {
	if d.outEnd || !d.usable() {
		return
	}
	if !d.open {
		d.held = append(append(d.held, a...), b...)
		return
	}
	if len(a) > 0 {
		d.stream.Data(a, false)
	}
	if len(b) > 0 {
		d.stream.Data(b, false)
	}
}

func (d *dialled) Buffered() int {
	if !d.usable() {
		return 0
	}
	return len(d.held) + d.stream.Buffered()
}

func (d *dialled) Pause() {
	if d.usable() {
		d.stream.Pause()
	}
}

func (d *dialled) Resume() {
	if d.usable() {
		d.stream.Resume()
	}
}

func (d *dialled) CloseWrite() {
	if d.outEnd || !d.usable() {
		return
	}
	if d.open {
		d.stream.Data(nil, true)
	}
	d.outEnd = true
}

// Close ends our direction; what still comes is not wanted.
func (d *dialled) Close() {
	d.CloseWrite()
	if d.usable() {
		d.stream.Cancel()
	}
	d.gone = true
}

func (d *dialled) Abort() {
	if d.usable() {
		d.stream.Cancel()
	}
	d.gone = true
}

// OnResponse: the proxy grants it, or does not.
func (d *dialled) OnResponse(data []byte, end bool) {
	if d.gone {
		return
	}
	if status := d.x.Response.Status; status < 200 || status > 299 {
		if !end {
			d.stream.Cancel()
		}
		if status == 403 {
			d.fail(&wire.PeerError{Why: observe.PolicyDenied, Err: refused(status)})
			return
		}
		d.fail(refused(status))
		return
	}
	d.open = true
	if len(d.held) > 0 {
		d.stream.Data(d.held, false)
		d.held = nil
	}
	if d.outEnd {
		d.stream.Data(nil, true)
	}
	d.handler.OnOpen()
	if len(data) > 0 || end {
		d.OnResponseData(data, end)
	}
}

func (d *dialled) OnResponseData(data []byte, end bool) {
	if len(data) > 0 && !d.gone {
		d.handler.OnData(data)
	}
	if end && !d.gone {
		d.inEnd = true
		d.handler.OnEOF()
	}
}

// OnResponseAbort: the tunnel is gone, or the connection that it was to run on.
func (d *dialled) OnResponseAbort(f wire.Failure) {
	if d.gone {
		return
	}
	err := f.Err
	if err == nil {
		err = errReset
	}
	if f.Reused {
		err = fmt.Errorf("%w: %w", wire.ErrStale, err)
	}
	d.fail(err)
}

// fail tells the end.
func (d *dialled) fail(err error) {
	d.gone = true
	var dial *wire.DialError
	if !d.open && !errors.As(err, &dial) {
		err = &wire.DialError{Addr: d.peer.Remote, Err: err}
	}
	d.handler.OnClose(err)
}

func (d *dialled) OnRequestDrained() {
	if d.usable() {
		d.handler.OnDrained()
	}
}

// Accept is wire.Tunneler's.
func (Tunnels) Accept(x *wire.Exchange, s wire.ServerStream, explain bool, over func()) (wire.Conn, wire.RequestSink) {
	a := &accepted{x: x, stream: s, explain: explain, handler: wire.Deaf{}, loop: s.Loop(), peer: *s.Peer(), over: over}
	if outer := a.peer.TLS; outer != nil {
		inner := *outer
		inner.Tunnel = true
		a.peer.TLS = &inner
	}
	return a, a
}

// accepted is a tunnel that was asked of us.
type accepted struct {
	x       *wire.Exchange
	stream  wire.ServerStream
	handler wire.ConnHandler
	loop    wire.Loop
	peer    wire.Peer
	over    func()
	explain bool // why it is refused
	granted bool
	inEnd   bool
	outEnd  bool
	gone    bool
}

func (a *accepted) Loop() wire.Loop                { return a.loop }
func (a *accepted) Peer() *wire.Peer               { return &a.peer }
func (a *accepted) SetHandler(h wire.ConnHandler)  { a.handler = h }
func (a *accepted) Waiting() bool                  { return false }
func (a *accepted) Finish()                        { a.Close() }
func (a *accepted) OnRequest([]byte, bool)         {}
func (a *accepted) OnRequestTrailers(t *wire.Head) { a.OnRequestData(nil, true) }

// grant answers 200, once.
func (a *accepted) grant() bool {
	if a.gone {
		return false
	}
	if !a.granted {
		a.granted = true
		h := &a.x.Response
		h.Reset()
		h.Status, h.Length = 101, -1
		a.stream.Respond(h, nil, false)
	}
	return true
}

func (a *accepted) Write(b, c []byte) {
	if a.outEnd || !a.grant() {
		return
	}
	if len(b) > 0 {
		a.stream.Data(b, false)
	}
	if len(c) > 0 {
		a.stream.Data(c, false)
	}
}

func (a *accepted) Buffered() int {
	if a.gone {
		return 0
	}
	return a.stream.Buffered()
}

func (a *accepted) Pause() {
	if !a.gone {
		a.stream.Pause()
	}
}

func (a *accepted) Resume() {
	if a.grant() {
		a.stream.Resume()
	}
}

func (a *accepted) CloseWrite() {
	if a.outEnd || !a.grant() {
		return
	}
	a.outEnd = true
	a.stream.Data(nil, true)
	if a.inEnd {
		a.end()
	}
}

// Close ends our direction, and the tunnel where the other has not ended: what
// still comes is not wanted.
func (a *accepted) Close() {
	a.CloseWrite()
	a.Abort()
}

func (a *accepted) Abort() { a.Refuse(observe.ReasonNone) }

// Refuse is wire.Refuser's. Proxies are told apart only that a policy forbids
// it: they must not try elsewhere then.
func (a *accepted) Refuse(why observe.Reason) {
	switch {
	case a.gone:
		return
	case a.granted:
		a.stream.Reset(observe.ClientGone)
	case a.explain && why.Info().Status >= 400:
		wire.KeepProblem(&a.x.Response, why)
		a.stream.Respond(&a.x.Response, wire.Problem(why), true)
	default:
		h := &a.x.Response
		h.Reset()
		h.Status, h.Length = 503, 0
		if why == observe.PolicyDenied {
			h.Status = 403
		}
		a.stream.Respond(h, nil, true)
	}
	a.end()
}

// end lets the exchange go.
func (a *accepted) end() {
	if !a.gone {
		a.gone = true
		a.over()
	}
}

func (a *accepted) OnRequestData(data []byte, end bool) {
	if len(data) > 0 && !a.gone {
		a.handler.OnData(data)
	}
	if !end || a.gone {
		return
	}
	a.inEnd = true
	a.handler.OnEOF()
	if a.outEnd {
		a.end()
	}
}

func (a *accepted) OnRequestAbort(observe.Reason) {
	if !a.gone {
		a.end()
		a.handler.OnClose(errReset)
	}
}

func (a *accepted) OnResponseDrained() {
	if !a.gone {
		a.handler.OnDrained()
	}
}
