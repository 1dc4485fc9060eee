package loop

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"syscall"
	"testing"

	"github.com/naru-mesh/naru/wire"
)

// TestSlowReader pumps more than any socket buffer holds, by the watermarks,
// to a peer that begins to read late.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	d := start(t, 1)
	const total = 24 << 20
	source := rand.NewChaCha8([32]byte{1})
	want := sha256.New()
	highest := 0
	stopped := make(chan struct{}, 1)
	left := total
	pump := func(s *script) {
		r := rand.New(source)
		for left > 0 && s.c.Buffered() <= wire.HighWater {
			b := make([]byte, min(left, 1+r.IntN(60_000)))
			_, _ = source.Read(b)
			want.Write(b)
			left -= len(b)
			cut := r.IntN(len(b) + 1)
			s.c.Write(b[:cut], b[cut:])
			highest = max(highest, s.c.Buffered())
			for i := range b {
				b[i] = 0 // the slices are free again
			}
		}
		if left == 0 {
			s.c.Close()
		} else {
			select {
			case stopped <- struct{}{}:
			default:
			}
		}
	}
	l := listen(t, d, func() *script {
		return &script{data: func(s *script, _ []byte) { pump(s) }, drained: pump}
	})
	c := client(t, l)
	_, _ = c.Write([]byte("go"))
	await(t, "the watermark", stopped)
	got := sha256.New()
	if n, err := io.CopyBuffer(got, io.LimitReader(c, total+1), make([]byte, 7_001)); n != total || err != nil {
		t.Fatalf("read %d bytes, %v; want %d", n, err, total)
	}
	on(t, d.loops[0], func() {
		if !bytes.Equal(got.Sum(nil), want.Sum(nil)) {
			t.Error("the bytes are not what was written")
		}
		if highest > wire.HighWater+60_000 {
			t.Errorf("%d bytes were buffered", highest)
		}
		if n := d.loops[0].chunks.kept; n > chunksKept {
			t.Errorf("%d free chunks are kept", n)
		}
	})
	if b := figures(t, d, 0).Buffered; b != 0 {
		t.Errorf("%d bytes are still counted as buffered", b)
	}
}

// TestPauseUnderLoad pauses after every piece and resumes by a post.
func TestPauseUnderLoad(t *testing.T) {
	t.Parallel()
	d := start(t, 1)
	const total = 4 << 20
	got := sha256.New()
	sum := make(chan []byte, 1)
	l := listen(t, d, func() *script {
		return &script{
			data: func(s *script, b []byte) {
				if s.c.(*conn).paused {
					t.Error("data while paused")
				}
				got.Write(b)
				s.c.Pause()
				s.c.Loop().Post(s.c.Resume)
			},
			eof: func(s *script) { sum <- got.Sum(nil); s.c.Close() },
		}
	})
	c := client(t, l)
	b := make([]byte, total)
	_, _ = rand.NewChaCha8([32]byte{2}).Read(b)
	if _, err := c.Write(b); err != nil {
		t.Fatal(err)
	}
	_ = c.CloseWrite()
	if want := sha256.Sum256(b); !bytes.Equal(await(t, "the end", sum), want[:]) {
		t.Fatal("the bytes are not what was sent")
	}
}

// big is more than the socket buffers of both ends hold.
var big = bytes.Repeat([]byte("0123456789abcdef"), 1<<20)

func TestCloseSendsWhatIsBuffered(t *testing.T) {
	t.Parallel()
	r, c, peer := accepted(t, start(t, 1), nil)
	on(t, c.Loop(), func() {
		c.Write(big, []byte("end"))
		if c.Buffered() == 0 {
			t.Error("nothing is buffered: the test is void")
		}
		c.Close()
		c.Write([]byte("too late"), nil)
	})
	got, err := io.ReadAll(peer)
	if err != nil || len(got) != len(big)+3 || !bytes.HasSuffix(got, []byte("end")) {
		t.Fatalf("peer read %d bytes, %v", len(got), err)
	}
	if len(r.events)+len(r.close) != 0 {
		t.Fatal("the handler was told something after Close")
	}
}

func TestCloseWriteAfterBuffered(t *testing.T) {
	t.Parallel()
	r, c, peer := accepted(t, start(t, 1), nil)
	on(t, c.Loop(), func() { c.Write(big, nil); c.CloseWrite() })
	if n, err := io.Copy(io.Discard, peer); err != nil || n != int64(len(big)) {
		t.Fatalf("peer read %d bytes, %v", n, err)
	}
	r.expect(t, "drained")
	_, _ = peer.Write([]byte("thanks"))
	r.expect(t, "thanks")
	on(t, c.Loop(), c.Close)
}

// TestCloseGivesUp: a peer that does not read is reset when the time is over.
func TestCloseGivesUp(t *testing.T) {
	t.Parallel()
	_, c, peer := accepted(t, start(t, 1), nil)
	on(t, c.Loop(), func() {
		c.Write(big, nil)
		c.Close()
		k := c.(*conn)
		if k.phase != flushing || !k.extra().end.Armed() {
			t.Error("Close does not wait for what is buffered")
		}
		k.loop.wheel.Disarm(&k.extra().end)
		k.OnTimer(&k.extra().end)
		if k.phase != closed || k.buffered != 0 || k.head != nil {
			t.Error("the time-out did not close")
		}
	})
	if _, err := io.ReadAll(peer); !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("peer read ended with %v, want a reset", err)
	}
}

// TestFinishWhilePeerSends: the peer is still sending when the answer is
// complete. It must get the answer, and the end, before anything resets.
func TestFinishWhilePeerSends(t *testing.T) {
	t.Parallel()
	for _, answer := range [][]byte{[]byte("413"), big} {
		r, c, peer := accepted(t, start(t, 1), wire.Conn.Pause)
		sent := make(chan error, 1)
		go func() {
			_, err := peer.Write(big)
			sent <- err
		}()
		on(t, c.Loop(), func() { c.Write(answer, nil); c.Finish() })
		if err := await(t, "the peer's write", sent); err != nil {
			t.Fatalf("sending failed: %v", err)
		}
		if n, err := io.Copy(io.Discard, peer); err != nil || n != int64(len(answer)) {
			t.Fatalf("peer read %d bytes, %v", n, err)
		}
		_ = peer.Close()
		if len(r.events)+len(r.close) != 0 {
			t.Fatal("the handler was told something after Finish")
		}
	}
}

// TestFinishGivesUp: a peer that neither ends nor stops is dropped.
func TestFinishGivesUp(t *testing.T) {
	t.Parallel()
	_, c, peer := accepted(t, start(t, 1), nil)
	on(t, c.Loop(), func() { c.Write([]byte("answer"), nil); c.Finish() })
	if got, err := io.ReadAll(peer); err != nil || string(got) != "answer" {
		t.Fatalf("peer read %q, %v", got, err)
	}
	on(t, c.Loop(), func() {
		k := c.(*conn)
		if k.phase != finishing || !k.extra().end.Armed() {
			t.Error("Finish does not wait for the peer's end")
		}
		k.loop.wheel.Disarm(&k.extra().end)
		k.OnTimer(&k.extra().end)
		if k.phase != closed {
			t.Error("the time-out did not close")
		}
	})
}

// TestFinishAfterEnd has nothing to wait for.
func TestFinishAfterEnd(t *testing.T) {
	t.Parallel()
	r, c, peer := accepted(t, start(t, 1), nil)
	_ = peer.CloseWrite()
	r.expect(t, "eof")
	on(t, c.Loop(), func() {
		c.Write([]byte("ok"), nil)
		c.Finish()
		if c.(*conn).phase != closed {
			t.Error("Finish waits although the peer has ended")
		}
	})
	if got, err := io.ReadAll(peer); err != nil || string(got) != "ok" {
		t.Fatalf("peer read %q, %v", got, err)
	}
}

// TestResetWhileFlushing: nobody is told, nothing is left.
func TestResetWhileFlushing(t *testing.T) {
	t.Parallel()
	d := start(t, 1)
	r, c, peer := accepted(t, d, nil)
	on(t, c.Loop(), func() { c.Write(big, nil); c.Close() })
	reset(peer)
	gone := func() (is bool) {
		on(t, c.Loop(), func() { is = c.(*conn).phase == closed })
		return is
	}
	for !gone() {
	}
	if s := figures(t, d, 0); s.Open != 0 || s.Buffered != 0 {
		t.Fatalf("left behind: %+v", s)
	}
	if len(r.close) != 0 {
		t.Fatal("OnClose after Close")
	}
}
