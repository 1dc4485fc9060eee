package proxy

import (
	"errors"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// pipeEnd is a connection of which the test plays the other side.
type pipeEnd struct {
	loop     wire.Loop
	peer     wire.Peer
	handler  wire.ConnHandler
	written  []byte
	buffered int
	paused   bool
	ended    bool // CloseWrite
	how      string
}

func (c *pipeEnd) Loop() wire.Loop               { return c.loop }
func (c *pipeEnd) Peer() *wire.Peer              { return &c.peer }
func (c *pipeEnd) SetHandler(h wire.ConnHandler) { c.handler = h }
func (c *pipeEnd) Write(a, b []byte)             { c.written = append(append(c.written, a...), b...) }
func (c *pipeEnd) Buffered() int                 { return c.buffered }
func (c *pipeEnd) Waiting() bool                 { return false }
func (c *pipeEnd) Pause()                        { c.paused = true }
func (c *pipeEnd) Resume()                       { c.paused = false }
func (c *pipeEnd) CloseWrite()                   { c.ended = true }
func (c *pipeEnd) Close()                        { c.how = "closed" }
func (c *pipeEnd) Finish()                       { c.how = "finished" }
func (c *pipeEnd) Abort()                        { c.how = "reset" }

// talk applies a configuration with a flow to two endpoints, and gives the
// client's side of a connection; dialled are those to endpoints.
func talk(t *testing.T, change func(*model.Config)) (w *world, client *pipeEnd, dialled *[]*pipeEnd) {
	t.Helper()
	w = newWorld(t, 1)
	w.proxy.opt.Drain = time.Minute
	dialled = &[]*pipeEnd{}
	w.loops[0].dial = func(addr netip.AddrPort, h wire.ConnHandler) wire.Conn {
		c := &pipeEnd{loop: w.loops[0], peer: wire.Peer{Remote: addr}, handler: h}
		*dialled = append(*dialled, c)
		return c
	}
	c := &model.Config{
		Listeners: []*model.Listener{{Name: "db", Address: "127.0.0.1", Port: 5432, Protocol: model.TCP}},
		Flows:     []*model.Flow{{Name: "f", Parents: []string{"db"}, Backends: []model.Backend{{Service: "db", Weight: 1}}}},
		Services:  []*model.Service{{Name: "db", Endpoints: []*model.Endpoint{{Host: "10.0.0.1", Port: 1}, {Host: "10.0.0.2", Port: 2}}}},
	}
	if change != nil {
		change(c)
	}
	w.apply(c)
	client = &pipeEnd{loop: w.loops[0], peer: wire.Peer{Remote: netip.MustParseAddrPort("192.0.2.9:4711"), Local: netip.MustParseAddrPort("127.0.0.1:5432")}}
	w.driver.on(5432).accept(client, false)
	return w, client, dialled
}

func TestConversation(t *testing.T) {
	t.Parallel()
	w, client, dialled := talk(t, func(c *model.Config) { c.Services[0].ProxyProtocol = 1 })
	if len(*dialled) != 1 || !client.paused {
		t.Fatalf("%d dialled, the client paused: %v", len(*dialled), client.paused)
	}
	service := (*dialled)[0]
	service.handler.OnOpen()
	if got := string(service.written); got != "PROXY TCP4 192.0.2.9 127.0.0.1 4711 5432\r\n" || client.paused {
		t.Errorf("the service hears %q first, the client paused: %v", got, client.paused)
	}
	service.written = nil
	client.handler.OnData([]byte("question"))
	service.buffered = wire.HighWater + 1
	client.handler.OnData([]byte("?"))
	if string(service.written) != "question?" || !client.paused {
		t.Errorf("%q passed, the client paused: %v", service.written, client.paused)
	}
	service.buffered = 0
	service.handler.OnDrained()
	if client.paused {
		t.Error("the client is paused still")
	}
	client.handler.OnEOF()
	if !service.ended || client.ended || service.how != "" {
		t.Error("the end of one direction is not passed on alone")
	}
	client.buffered = 10
	service.handler.OnData([]byte("answer"))
	service.handler.OnEOF()
	w.loops[0].pass(time.Second)
	if string(client.written) != "answer" || !client.ended || client.how != "" {
		t.Errorf("%q, ended %v, %s: closed before all is out", client.written, client.ended, client.how)
	}
	client.buffered = 0
	w.loops[0].pass(time.Second)
	if client.how != "closed" || service.how != "closed" || w.proxy.Active() != 0 {
		t.Errorf("at the end %q and %q, %d active", client.how, service.how, w.proxy.Active())
	}
	r := w.last
	if r.Reason != observe.ReasonNone || r.BytesIn != 9 || r.BytesOut != 6 || r.Flow != "f" || r.Service != "db" || r.Scheme != "tcp" || r.Attempts != 1 {
		t.Errorf("record %+v", r)
	}
}

// TestConversationTriesAnother after a refusal, and after silence.
func TestConversationTriesAnother(t *testing.T) {
	t.Parallel()
	w, client, dialled := talk(t, nil)
	(*dialled)[0].handler.OnClose(&wire.DialError{Err: syscall.ECONNREFUSED})
	if len(*dialled) != 2 || (*dialled)[0].peer.Remote == (*dialled)[1].peer.Remote {
		t.Fatal("no other endpoint was tried")
	}
	w.loops[0].pass(model.DefaultConnect + time.Second)
	if (*dialled)[1].how != "reset" || client.how != "reset" || len(*dialled) != 2 {
		t.Errorf("after silence %q and %q, %d dialled", (*dialled)[1].how, client.how, len(*dialled))
	}
	if r := w.last; r.Reason != observe.ConnectTimeout || r.Attempts != 2 || !errors.Is(r.Detail, errSlow) || r.Endpoint != (*dialled)[1].peer.Remote || r.Chosen != "elsewhere" {
		t.Errorf("record %+v, which has not the endpoint %v", r, (*dialled)[1].peer.Remote)
	}
	w, client, dialled = talk(t, nil)
	client.handler.OnClose(syscall.ECONNRESET)
	if (*dialled)[0].how != "reset" || w.proxy.Active() != 0 {
		t.Error("a client that goes while it is connected leaves something behind")
	}
}

// TestConversationExpires when its endpoint or its listener is gone.
func TestConversationExpires(t *testing.T) {
	t.Parallel()
	for _, what := range []string{"endpoint", "listener"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			var was *model.Config
			w, client, dialled := talk(t, func(c *model.Config) { was = c })
			(*dialled)[0].handler.OnOpen()
			now := *was
			if what == "endpoint" {
				service := *was.Services[0]
				service.Endpoints = []*model.Endpoint{{Host: "10.0.0.9", Port: 9}}
				now.Services = []*model.Service{&service}
			} else {
				now.Listeners = []*model.Listener{{Name: "other", Address: "127.0.0.1", Port: 80, Protocol: model.HTTP}}
				now.Flows = nil
			}
			w.apply(&now)
			w.loops[0].pass(50 * time.Second)
			client.handler.OnData([]byte("still"))
			if client.how != "" || string((*dialled)[0].written) != "still" {
				t.Errorf("%q passed, %q", (*dialled)[0].written, client.how)
			}
			w.loops[0].pass(20 * time.Second)
			if client.how != "reset" || (*dialled)[0].how != "reset" {
				t.Errorf("after the drain time %q and %q", client.how, (*dialled)[0].how)
			}
			if r := w.last; r.Reason != observe.Draining {
				t.Errorf("record %+v", r)
			}
		})
	}
}

func TestConversationIdles(t *testing.T) {
	t.Parallel()
	w, client, dialled := talk(t, func(c *model.Config) { c.Flows[0].Idle = time.Minute })
	(*dialled)[0].handler.OnOpen()
	for range 3 {
		w.loops[0].pass(50 * time.Second)
		client.handler.OnData([]byte("x"))
	}
	w.loops[0].pass(59 * time.Second)
	if client.how != "" {
		t.Fatal("ended early")
	}
	w.loops[0].pass(2 * time.Second)
	if r := w.last; client.how != "reset" || r.Reason != observe.FlowIdle {
		t.Errorf("%q, record %+v", client.how, r)
	}
}

// TestConversationLeftAlone: a reader who stopped is not waited for without
// end, even where idling is allowed.
func TestConversationLeftAlone(t *testing.T) {
	t.Parallel()
	w, client, dialled := talk(t, func(c *model.Config) { c.Flows[0].Idle = -1 })
	(*dialled)[0].handler.OnOpen()
	client.handler.OnEOF()
	client.buffered = 5
	(*dialled)[0].handler.OnEOF()
	w.loops[0].pass(model.DefaultFlowIdle + time.Minute)
	if client.how != "reset" {
		t.Errorf("after long %q", client.how)
	}
}

// TestPassingOnDoesNotAllocate in either direction.
func TestPassingOnDoesNotAllocate(t *testing.T) {
	_, client, dialled := talk(t, nil)
	service := (*dialled)[0]
	service.handler.OnOpen()
	client.written, service.written = make([]byte, 0, 1<<20), make([]byte, 0, 1<<20)
	b := make([]byte, 100)
	if n := testing.AllocsPerRun(100, func() {
		client.written, service.written = client.written[:0], service.written[:0]
		client.handler.OnData(b)
		service.handler.OnData(b)
		service.handler.(wire.ForwardHandler).OnForwarded(1000)
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
