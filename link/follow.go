package link

import (
	"errors"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/store"
)

// DefaultHeartbeat is how often a proxy says that it is there.
const DefaultHeartbeat = 10 * time.Second

// Why a stream ends from our side.
var (
	errClosing  = status.Error(codes.Unavailable, "the control plane is going away")
	errReplaced = status.Error(codes.Aborted, "another stream of this node has begun")
	errSilent   = status.Error(codes.DeadlineExceeded, "the proxy was silent for too long")
	errResync   = status.Error(codes.Aborted, "the proxy is too far behind: it must say what it has")
	errGrant    = status.Error(codes.Aborted, "what the node may have has changed: register again")
	errExpired  = status.Error(codes.Unauthenticated, "the certificate of this connection has expired")
)

// mostRefusals bounds what is remembered of a proxy's refusals, mostSaid the bytes
// of what a proxy says for people.
const mostRefusals, mostSaid = 100, 1 << 10

// short cuts what a proxy says for people.
func short(s string) string { return strings.ToValidUTF8(s[:min(len(s), mostSaid)], "") }

// session is one proxy's stream. Three goroutines: follow supervises, write
// writes, read reads.
type session struct {
	server *Server
	stream grpc.ServerStream
	node   string
	who    caller
	record store.Revision // of the node: a newer one says what it may have now
	since  time.Time
	done   chan struct{} // closed by end
	wake   chan struct{} // the reader has something for the writer

	mu    sync.Mutex
	cause error // why done
	hello hello
	given *haves // asked for at the beginning
	view  *view
	next  *view  // replaces view at the writer's next turn
	seq   uint64 // of the catalog, that the proxy has been told up to
	nonce uint64 // of the newest update
	acked uint64
	// system is what the proxy has, sent what it will have after nonce.
	system, sent model.Version
	applied      string
	// behind is when the oldest change that is not acknowledged was known.
	behind       time.Time
	heard        time.Time
	pong         int64
	refusals     map[Name]Refusal
	denied       map[string]Denial // by account
	certificates []CertificateState
	counts       []byte
	// underway are updates that the proxy has been sent and does not go by yet,
	// inForce is how far in the catalog it does.
	underway []sentUpdate
	inForce  uint64
	limited  string        // that the proxy was told
	skew     time.Duration // by how much our clock is ahead of the proxy's, as it says
	bundles  string        // sum of those that were sent
}

func (x *session) end(cause error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.cause == nil {
		x.cause = cause
		close(x.done)
	}
}

func (x *session) poke() {
	select {
	case x.wake <- struct{}{}:
	default:
	}
}

// follow serves one stream until it ends.
func (s *Server) follow(stream grpc.ServerStream) error {
	who, record, err := s.follower(stream.Context())
	if err != nil {
		return err
	}
	var first ask
	if err := stream.RecvMsg(&first); err != nil {
		return err
	}
	if first.Hello == nil {
		return status.Error(codes.InvalidArgument, "a stream begins with hello")
	}
	first.Hello.Version, first.Hello.Address = short(first.Hello.Version), short(first.Hello.Address)
	now := s.options.Now()
	x := &session{server: s, stream: stream, node: who.node, who: who, record: record.changed, since: now, heard: now, behind: now,
		done: make(chan struct{}), wake: make(chan struct{}, 1), hello: *first.Hello, bundles: first.Hello.Bundles,
		view: newView(record.Grant.Gateway, first.Hello.Subscriptions)}
	if err := s.enter(x); err != nil {
		return err
	}
	defer s.leave(x)
	// This goroutine supervises: one that writes may be stuck for as long as
	// the proxy takes nothing. Both end with the stream, when we return.
	s.streams.Go(x.read)
	s.streams.Go(func() { x.end(x.write()) })
	alive := time.NewTicker(s.options.Heartbeat)
	defer alive.Stop()
	for {
		select {
		case <-x.done:
			return x.cause
		case <-alive.C:
			if err := x.alive(); err != nil {
				x.end(err)
			}
		}
	}
}

// enter makes x the stream of its node.
func (s *Server) enter(x *session) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.sessions[x.node]
	switch {
	case s.closing:
		return errClosing
	case old == nil && len(s.sessions) >= s.options.MaxProxies:
		return s.denied(codes.ResourceExhausted, whyProxies, x.who, errors.New("there are too many proxies"))
	case old != nil:
		old.end(errReplaced)
	}
	s.sessions[x.node] = x
	s.begun(x.node, x.hello.Process)
	return nil
}

func (s *Server) leave(x *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sessions[x.node] == x {
		delete(s.sessions, x.node)
	}
}

// read takes what the proxy says. It ends with the stream.
func (x *session) read() {
	for {
		var a ask
		if err := x.stream.RecvMsg(&a); err != nil {
			x.end(err)
			return
		}
		now := x.server.options.Now()
		x.mu.Lock()
		x.heard = now
		if a.Ack != 0 && a.Ack == x.nonce && a.Ack != x.acked {
			x.acked, x.system, x.applied = a.Ack, x.sent, a.Applied
			x.behind = time.Time{}
			x.refused(a.Refused)
			if !x.hello.Serves {
				x.goes(a.Ack)
			}
		}
		if a.Serves != 0 {
			x.goes(a.Serves)
		}
		if a.Have != nil {
			x.given = a.Have
		}
		if a.Subscribe != nil {
			gateway := x.view.gateway
			x.next = newView(gateway, a.Subscribe.Subscriptions)
			x.hello.Subscriptions = a.Subscribe.Subscriptions
		}
		if len(a.Counts) > 0 && len(a.Counts) <= mostCounts && x.view.gateway {
			x.counts = a.Counts
		}
		if a.Ping != 0 {
			x.pong = a.Ping
			if a.Certificates != nil {
				x.certificates = a.Certificates
			}
			before := skewed(x.skew)
			x.skew = time.Duration(a.Skew)
			if said := skewed(x.skew); said != "" && before == "" {
				x.server.log.Warn("link: "+clockOf(x.node)+said, "node", x.node, "skew", x.skew.Round(time.Millisecond))
			}
		}
		x.mu.Unlock()
		x.poke()
	}
}

// refused remembers what the proxy did not take. x.mu is held.
func (x *session) refused(list []Refusal) {
	// More are not remembered: the log is everybody's.
	for _, r := range list[:min(len(list), mostRefusals)] {
		if x.refusals == nil {
			x.refusals = map[Name]Refusal{}
		}
		r.Name, r.Field, r.Message = short(r.Name), short(r.Field), short(r.Message)
		if r.Origin == (model.Origin{}) {
			// What cannot be read does not say where it was written; we know.
			r.Origin = x.server.catalog.origin(Name{r.Kind, r.Name})
		}
		if len(x.refusals) < mostRefusals {
			x.refusals[Name{r.Kind, r.Name}] = r
		}
		x.server.log.Warn("link: a proxy refuses a resource and keeps what it had", "node", x.node, "resource", Name{r.Kind, r.Name}.String(),
			"origin", r.Origin.String(), "field", r.Field, "message", r.Message)
	}
}

// write sends what differs, then what changes. One update at a time is under
// way: what changes meanwhile comes with the next, each resource once and as it
// is then. So a proxy costs its place in the log, however slow it is.
func (x *session) write() error {
	s := x.server
	if err := x.begin(); err != nil {
		return err
	}
	for {
		bundles := s.bundles.Load()
		_, _, changed := s.catalog.state()
		if err := x.turn(bundles); err != nil {
			return err
		}
		select {
		case <-x.done:
			return x.cause
		case <-changed:
		case <-bundles.changed:
		case <-x.wake:
		}
	}
}

// begin finds out what the proxy lacks, once there is a Snapshot, and sends it.
func (x *session) begin() error {
	c := x.server.catalog
	for {
		_, system, changed := c.state()
		if system != "" {
			break
		}
		select {
		case <-x.done:
			return x.cause
		case <-changed:
		case <-x.wake:
			if err := x.answer(); err != nil {
				return err
			}
		}
	}
	if x.hello.Count == 0 {
		return x.everything(nil)
	}
	d, same := c.same(x.view, x.hello.Count, x.hello.Digest)
	if same {
		return x.send(d, true)
	}
	if err := x.sendHead(head{Need: true}, nil); err != nil {
		return err
	}
	for {
		x.mu.Lock()
		given := x.given
		x.given = nil // it is as long as the mesh is large: not to be kept
		x.mu.Unlock()
		if given != nil {
			return x.everything(given.List)
		}
		select {
		case <-x.done:
			return x.cause
		case <-x.wake:
			if err := x.answer(); err != nil {
				return err
			}
		}
	}
}

// answer says that we are here to a proxy that has to wait.
func (x *session) answer() error {
	x.mu.Lock()
	pong := x.pong
	x.mu.Unlock()
	if pong == 0 {
		return nil
	}
	return x.sendHead(head{Pong: pong}, nil)
}

// Bounds of first configurations at once: what all of them together have under
// way takes memory, and the processors are busy with a few.
const (
	mostBulk = 64
	// bulkTime is how long one that takes nothing keeps its place.
	bulkTime = 2 * time.Second
)

// everything sends what a proxy lacks that has exactly list.
func (x *session) everything(list []have) error {
	s := x.server
	for waiting := true; waiting; {
		select {
		case s.bulk <- struct{}{}:
			waiting = false
		case <-x.done:
			return x.cause
		case <-x.wake:
			if err := x.answer(); err != nil {
				return err
			}
		}
	}
	leave := sync.OnceFunc(func() { <-s.bulk })
	defer leave()
	stuck := time.AfterFunc(bulkTime, leave)
	defer stuck.Stop()
	return x.send(s.catalog.sync(x.view, list), true)
}

// alive gives why the stream must end: the proxy is silent, its certificate has
// expired, it was removed. Of one that is there it keeps what is registered.
func (x *session) alive() error {
	s := x.server
	now := s.options.Now()
	x.mu.Lock()
	silent := now.Sub(x.heard) > 3*s.options.Heartbeat
	x.mu.Unlock()
	switch {
	case silent:
		return errSilent
	case now.After(x.who.leaf.NotAfter):
		return errExpired
	}
	// A store that is away is no reason to end anything.
	if s.limited.Load() != nil {
		return nil
	}
	switch item, err := s.options.Store.Get(x.stream.Context(), nodesBelow+x.node); {
	case errors.Is(err, store.ErrNotFound):
		return s.denied(codes.PermissionDenied, whyUnknownNode, x.who, errors.New("the node was removed"))
	case err == nil && item.Changed != x.record:
		return errGrant
	}
	if err := s.options.Registry.Alive(x.stream.Context(), x.node); err != nil {
		s.log.Warn("link: what is registered of a node cannot be kept", "node", x.node, "err", err)
		return status.Error(codes.Aborted, "register again: "+err.Error())
	}
	return nil
}

// turn sends what there is to send.
func (x *session) turn(bundles *sharedBundles) error {
	s := x.server
	x.mu.Lock()
	waiting, seq, v, next, pong := x.acked != x.nonce, x.seq, x.view, x.next, x.pong
	say := pong != 0 || x.limited != s.Limited()
	fresh := bundles.wire.Sum != x.bundles
	x.mu.Unlock()
	if waiting {
		if say {
			return x.sendHead(head{Pong: pong}, nil)
		}
		return nil
	}
	var d difference
	ok := true
	if next != nil {
		d, ok = s.catalog.resubscribe(v, next, seq)
		x.mu.Lock()
		x.view = next
		if x.next == next {
			x.next = nil
		}
		x.mu.Unlock()
	} else {
		d, ok = s.catalog.since(v, seq)
	}
	if !ok {
		s.counts.resyncs.Add(1)
		return errResync
	}
	if len(d.frames) == 0 && len(d.removed) == 0 && !fresh && next == nil {
		x.mu.Lock()
		x.seq, x.system, x.sent = d.seq, d.system, d.system
		if len(x.underway) == 0 {
			x.inForce = d.seq
		}
		x.mu.Unlock()
		if say {
			return x.sendHead(head{Pong: pong, System: string(d.system)}, nil)
		}
		return nil
	}
	return x.send(d, false)
}

// send sends a difference as one update, in messages of bounded size.
func (x *session) send(d difference, first bool) error {
	s := x.server
	bundles := s.bundles.Load()
	x.mu.Lock()
	x.nonce++
	x.seq, x.sent = d.seq, d.system
	x.note(x.nonce, d.seq)
	if x.behind.IsZero() {
		x.behind = s.options.Now()
	}
	h := head{Nonce: x.nonce, System: string(d.system), Removed: d.removed, Pong: x.pong}
	if bundles.wire.Sum != x.bundles {
		h.Bundles, x.bundles = bundles.wire, bundles.wire.Sum
	}
	// What is sent anew will be judged anew.
	if first {
		x.refusals = nil
	}
	for _, f := range d.frames {
		if len(x.refusals) == 0 {
			break
		}
		if r, _, err := readFrame(string(f)); err == nil {
			delete(x.refusals, r.Name)
		}
	}
	for _, n := range d.removed {
		delete(x.refusals, n)
	}
	x.mu.Unlock()
	s.counts.updates.Add(1)
	s.counts.resources.Add(uint64(len(d.frames)))
	frames := d.frames
	for {
		n, size := 0, 0
		for n < len(frames) && (n == 0 || size+len(frames[n]) <= mostChunk) {
			size += len(frames[n])
			n++
		}
		h.More = n < len(frames)
		if err := x.sendHead(h, frames[:n]); err != nil {
			return err
		}
		if !h.More {
			return nil
		}
		frames = frames[n:]
		h = head{Nonce: h.Nonce, System: h.System}
	}
}

// sendHead writes one message. It may block for as long as the proxy takes
// nothing: then only this stream waits.
func (x *session) sendHead(h head, frames [][]byte) error {
	s := x.server
	h.Server, h.Time, h.Limited = s.options.Name, s.options.Now().UnixNano(), s.Limited()
	x.mu.Lock()
	x.limited = h.Limited
	x.mu.Unlock()
	if h.Pong != 0 {
		h.Beat = s.options.Heartbeat.Milliseconds()
		x.mu.Lock()
		if x.pong == h.Pong {
			x.pong = 0
		}
		x.mu.Unlock()
	}
	size := 0
	for _, f := range frames {
		size += len(f)
	}
	s.counts.bytes.Add(uint64(size))
	return x.stream.SendMsg(&update{head: h, frames: frames})
}
