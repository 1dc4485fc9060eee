package secure

import (
	"bytes"
	"crypto/tls"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/naru-mesh/naru/wire"
)

// established gives both ends of a connection whose handshake is complete.
func established(t *testing.T, version uint16, rec *recorder) (*accepted, *tls.Conn) {
	t.Helper()
	sv := mustServer(t, &wire.ServerTLS{Credentials: []wire.Credential{localhost()}})
	a := accept(t, sv, rec)
	cfg := clientConfig()
	cfg.MaxVersion = version
	c := tls.Client(a.net, cfg)
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	<-a.ready
	return a, c
}

func bothVersions(t *testing.T, f func(t *testing.T, version uint16)) {
	for _, v := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(v), func(t *testing.T) { t.Parallel(); f(t, v) })
	}
}

func TestCloseNotifyIsEOF(t *testing.T) {
	t.Parallel()
	bothVersions(t, func(t *testing.T, v uint16) {
		rec := newRecorder()
		rec.onEOF = func() {
			rec.conn.Write([]byte("last "), []byte("words"))
			rec.conn.CloseWrite()
			rec.conn.Write([]byte("too late"), nil)
		}
		a, c := established(t, v, rec)
		io.WriteString(c, "question")
		if err := c.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		a.net.CloseWrite() // FIN after close_notify says nothing new
		rec.expect(t, "eof")
		if b, err := io.ReadAll(c); string(b) != "last words" || err != nil {
			t.Errorf("client read %q, %v", b, err)
		}
		a.loop.do(func() {
			if rec.text() != "question" || len(rec.events) != 0 || a.raw.closed || !a.raw.ended {
				t.Errorf("got %q, %d more events, closed %v, ended %v", rec.text(), len(rec.events), a.raw.closed, a.raw.ended)
			}
		})
	})
}

func TestBareFINIsTruncation(t *testing.T) {
	t.Parallel()
	bothVersions(t, func(t *testing.T, v uint16) {
		rec := newRecorder()
		a, c := established(t, v, rec)
		io.WriteString(c, "half a mess")
		a.net.CloseWrite()
		rec.expect(t, "close: "+io.ErrUnexpectedEOF.Error())
		if rec.text() != "half a mess" {
			t.Errorf("got %q", rec.text())
		}
		a.loop.do(func() { rec.conn.Write([]byte("x"), nil); rec.conn.Close() }) // nothing, and no panic
	})
}

func TestBrokenRecord(t *testing.T) {
	t.Parallel()
	bothVersions(t, func(t *testing.T, v uint16) {
		rec := newRecorder()
		a, c := established(t, v, rec)
		io.WriteString(c, "fine")
		a.net.Write(append([]byte{23, 3, 3, 0, 40}, make([]byte, 40)...))
		rec.expect(t, "close: local error: tls: bad record MAC")
		if rec.text() != "fine" {
			t.Errorf("got %q", rec.text())
		}
		if _, err := c.Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "bad record MAC") {
			t.Errorf("client reads %v, want the alert", err)
		}
		a.loop.do(func() {
			if a.raw.how != "finish" {
				t.Errorf("raw ended by %q", a.raw.how)
			}
		})
	})
}

func TestOversizedRecordIsRefusedAtItsHeader(t *testing.T) {
	t.Parallel()
	bothVersions(t, func(t *testing.T, v uint16) {
		rec := newRecorder()
		a, _ := established(t, v, rec)
		for _, b := range []byte{23, 3, 3, 0xff, 0xff} {
			a.net.Write([]byte{b})
		}
		rec.expect(t, "close: tls: oversized record received with length 65535")
	})
}

func TestEnding(t *testing.T) {
	t.Parallel()
	for how, end := range map[string]func(wire.Conn){
		"close":  wire.Conn.Close,
		"finish": wire.Conn.Finish,
		"abort":  wire.Conn.Abort,
	} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			rec := newRecorder()
			a, c := established(t, tls.VersionTLS13, rec)
			a.loop.do(func() {
				rec.conn.Write([]byte("bye"), nil)
				end(rec.conn)
				end(rec.conn)
				rec.conn.Write([]byte("no"), nil)
			})
			b, err := io.ReadAll(c)
			if how == "abort" {
				if err == nil {
					t.Error("no error after abort")
				}
			} else if string(b) != "bye" || err != nil {
				t.Errorf("client read %q, %v", b, err)
			}
			a.loop.do(func() {
				if a.raw.how != how || len(rec.events) != 0 {
					t.Errorf("raw ended by %q with %d events", a.raw.how, len(rec.events))
				}
			})
		})
	}
}

func TestCloseWithinOnData(t *testing.T) {
	t.Parallel()
	rec := newRecorder()
	rec.onData = func([]byte) { rec.conn.Close() }
	a, c := established(t, tls.VersionTLS13, rec)
	a.net.raw.loop.do(func() { a.raw.Pause() })
	io.WriteString(c, "one")
	io.WriteString(c, strings.Repeat("two", 200000))
	a.loop.do(func() { a.raw.Resume() })
	if b, err := io.ReadAll(c); len(b) != 0 || err != nil {
		t.Errorf("client read %q, %v", b, err)
	}
	a.loop.do(func() {
		if rec.calls != 1 || len(rec.events) != 0 {
			t.Errorf("%d calls, %d events", rec.calls, len(rec.events))
		}
	})
}

// TestLargeBothWays moves megabytes in and out, in pieces that do not fit the
// records, while the handler pauses at every delivery.
func TestLargeBothWays(t *testing.T) {
	t.Parallel()
	bothVersions(t, func(t *testing.T, v uint16) {
		rec := newRecorder()
		rec.onData = func(b []byte) {
			rec.conn.Write(b[:len(b)/3], b[len(b)/3:])
			rec.conn.Pause()
			rec.conn.Resume()
			rec.conn.Pause()
			rec.conn.Loop().Post(func() { rec.conn.Resume() })
		}
		rec.onEOF = func() { rec.conn.Close() }
		a, c := established(t, v, rec)
		a.loop.do(func() { a.raw.piece = 70001 })
		say := make([]byte, 3<<20)
		for i := range say {
			say[i] = byte(i * i >> 7)
		}
		var wg sync.WaitGroup
		wg.Go(func() { c.Write(say); c.CloseWrite() })
		got, err := io.ReadAll(c)
		wg.Wait()
		if err != nil || !bytes.Equal(got, say) {
			t.Errorf("read %d bytes of %d, %v", len(got), len(say), err)
		}
		rec.expect(t, "eof")
	})
}

// TestPausedHoldsEverything: nothing arrives while paused, and data and the
// end of the stream arrive afterwards in order.
func TestPausedHoldsEverything(t *testing.T) {
	t.Parallel()
	rec := newRecorder()
	a, c := established(t, tls.VersionTLS13, rec)
	a.loop.do(func() { rec.conn.Pause() })
	io.WriteString(c, strings.Repeat("x", 100000))
	c.CloseWrite()
	a.loop.do(func() {
		if rec.calls != 0 || len(rec.events) != 0 {
			t.Errorf("paused, but %d calls and %d events", rec.calls, len(rec.events))
		}
		rec.onData = func([]byte) { rec.conn.Pause() }
		rec.conn.Resume()
		if rec.calls != 0 {
			t.Error("Resume called back from within")
		}
	})
	a.loop.do(func() {})
	a.loop.do(func() {
		if rec.text() != strings.Repeat("x", 100000) || len(rec.events) != 0 {
			t.Errorf("%d bytes and %d events; EOF must wait for the next Resume", len(rec.text()), len(rec.events))
		}
		rec.conn.Resume()
	})
	rec.expect(t, "eof")
}

// hung is a recorder that hears of an end while it has paused.
type hung struct {
	*recorder
	unread int
}

func (h *hung) OnHangUp(n int) { h.unread = n }

// TestHangUp: that the raw Conn has hung up is told to who has paused, with what was
// received and not told, and to nobody else.
func TestHangUp(t *testing.T) {
	t.Parallel()
	h := &hung{recorder: newRecorder()}
	a, c := established(t, tls.VersionTLS13, h.recorder)
	hangs := func(n int) { a.raw.handler.(wire.HangUpHandler).OnHangUp(n) }
	a.loop.do(func() {
		hangs(1) // the recorder does not want to know
		h.conn.SetHandler(h)
		hangs(2) // it has not paused
		h.onData = func([]byte) { h.conn.Pause() }
		a.raw.Pause() // until all is there
	})
	if h.unread != 0 {
		t.Errorf("%d are told", h.unread)
	}
	const size = 60 * recordPlain
	io.WriteString(c, strings.Repeat("x", size))
	a.loop.do(a.raw.Resume)
	a.loop.do(func() {})
	a.loop.do(func() {
		told := h.calls
		hangs(3)
		if held := h.unread - 3; told != 1 || len(h.got) == size || held < size-len(h.got) {
			t.Errorf("%d bytes are left of %d, of which %d were told", held, size, len(h.got))
		}
		h.conn.Abort()
		h.unread = 0
		hangs(4)
		if h.unread != 0 {
			t.Error("who has ended it is told")
		}
	})
}

// TestPausedFromTheBeginning: what came right behind the handshake is held.
func TestPausedFromTheBeginning(t *testing.T) {
	t.Parallel()
	for _, fin := range []bool{false, true} {
		sv := mustServer(t, &wire.ServerTLS{Credentials: []wire.Credential{localhost()}})
		rec := newRecorder()
		loop := newLoop(t)
		raw := newRaw(loop)
		n := newNet(raw)
		ready := make(chan struct{})
		loop.do(func() {
			sv.Secure(raw, func(c wire.Conn) {
				rec.conn = c
				c.SetHandler(rec)
				c.Pause()
				close(ready)
			})
		})
		c := tls.Client(n, clientConfig())
		io.WriteString(c, "early") // with the client's Finished, or right behind
		io.WriteString(c, strings.Repeat("bird", 50000))
		if fin {
			n.CloseWrite()
		}
		<-ready
		loop.do(func() {})
		loop.do(func() {
			if rec.calls != 0 {
				t.Error("data while paused")
			}
			rec.conn.Resume()
		})
		if fin {
			rec.expect(t, "close: "+io.ErrUnexpectedEOF.Error())
		} else {
			for want := len("early") + 200000; len(rec.text()) < want; {
				loop.do(func() {})
			}
		}
		if rec.text() != "early"+strings.Repeat("bird", 50000) {
			t.Errorf("got %d bytes", len(rec.text()))
		}
		loop.do(func() { rec.conn.Abort() })
	}
}

func TestErrorIsToldWhilePaused(t *testing.T) {
	t.Parallel()
	rec := newRecorder()
	a, _ := established(t, tls.VersionTLS13, rec)
	a.loop.do(func() { rec.conn.Pause(); a.raw.reset() })
	rec.expect(t, "close: "+errReset.Error())
}

func TestDeliveryIsInFewCalls(t *testing.T) {
	t.Parallel()
	rec := newRecorder()
	a, c := established(t, tls.VersionTLS13, rec)
	a.loop.do(func() { a.raw.Pause() })
	c.Write(make([]byte, 15*recordPlain))
	a.loop.do(func() { a.raw.Resume() })
	a.loop.do(func() {})
	a.loop.do(func() {
		if rec.calls != 1 {
			t.Errorf("15 records in one read came in %d calls, want 1", rec.calls)
		}
	})
}

func TestDrainedPassesThrough(t *testing.T) {
	t.Parallel()
	rec := newRecorder()
	a, _ := established(t, tls.VersionTLS13, rec)
	a.loop.do(func() {
		a.raw.stuck = true
		rec.conn.Write(make([]byte, 100000), nil)
		if n := rec.conn.Buffered(); n < 100000 {
			t.Errorf("Buffered %d", n)
		}
		a.raw.backed = 0
		a.raw.handler.OnDrained()
	})
	rec.expect(t, "drained")
}
