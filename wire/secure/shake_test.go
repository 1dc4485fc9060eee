package secure

import (
	"crypto/tls"
	"io"
	"strings"
	"testing"

	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// TestStalledHandshakeFreesItsPlace: with one place in the gate, clients that
// stop in the middle keep nobody out.
func TestStalledHandshakeFreesItsPlace(t *testing.T) {
	t.Parallel()
	sec := New(1)
	w, err := sec.Server(&wire.ServerTLS{Credentials: []wire.Credential{localhost()}})
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		io.WriteString(accept(t, w.(*server), newRecorder()).net, "\x16\x03\x01\x01\x00\x01")
	}
	exchange(t, tls.Client(accept(t, w.(*server), echo()).net, clientConfig()), "hello")
}

// TestQueuedHandshakeGivesUp: a connection that goes away while its handshake
// waits for the gate leaves nothing behind (goleak looks).
func TestQueuedHandshakeGivesUp(t *testing.T) {
	t.Parallel()
	cfg := &wire.ServerTLS{Credentials: []wire.Credential{localhost()}}
	fails := watchFails(cfg)
	sec := New(1)
	sec.accepting <- struct{}{}
	w, err := sec.Server(cfg)
	if err != nil {
		t.Fatal(err)
	}
	a := accept(t, w.(*server), newRecorder())
	io.WriteString(a.net, "\x16\x03\x01")
	a.raw.reset()
	if f := <-fails; f.why != observe.HandshakeFailed || f.err != errReset {
		t.Errorf("failed with %v %v", f.why, f.err)
	}
}

// TestProbeIsNotAFailure: a port check opens and closes without a word.
func TestProbeIsNotAFailure(t *testing.T) {
	t.Parallel()
	for _, leave := range []func(*accepted){
		func(a *accepted) { a.net.Close() },
		func(a *accepted) { a.raw.reset() },
	} {
		cfg := &wire.ServerTLS{Credentials: []wire.Credential{localhost()}}
		fails := watchFails(cfg)
		a := accept(t, mustServer(t, cfg), newRecorder())
		leave(a)
		a.loop.do(func() {})
		a.loop.do(func() {
			if !a.raw.closed {
				t.Error("the raw connection is open")
			}
		})
		if len(fails) != 0 {
			t.Errorf("told of %v", <-fails)
		}
	}
}

// TestEagerClient sends much behind its Finished while the handshake waits for
// the gate: the raw Conn is paused, and everything arrives afterwards.
func TestEagerClient(t *testing.T) {
	t.Parallel()
	sec := New(1)
	w, err := sec.Server(&wire.ServerTLS{Credentials: []wire.Credential{localhost()}})
	if err != nil {
		t.Fatal(err)
	}
	rec := newRecorder()
	a := accept(t, w.(*server), rec)
	cfg := clientConfig()
	cfg.VerifyConnection = func(tls.ConnectionState) error {
		a.loop.do(func() { a.raw.piece = 10000; a.raw.Pause() })
		sec.accepting <- struct{}{} // as soon as the server waits for Finished
		return nil
	}
	c := tls.Client(a.net, cfg)
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	want := strings.Repeat("eager", 60000)
	io.WriteString(c, want)
	a.loop.do(func() { a.raw.Resume() })
	a.loop.do(func() {})
	a.loop.do(func() {
		if !a.raw.paused || len(a.raw.in) < len(want)-shakeBytes-20000 {
			t.Errorf("paused %v with %d bytes left", a.raw.paused, len(a.raw.in))
		}
	})
	<-sec.accepting
	<-a.ready
	for len(rec.text()) < len(want) {
		a.loop.do(func() {})
	}
	if rec.text() != want {
		t.Error("data differs")
	}
}
