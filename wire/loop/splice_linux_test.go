package loop

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"runtime"
	"syscall"
	"testing"

	"github.com/naru-mesh/naru/wire"
)

// passing is one direction of a relay: what it is given it writes to the
// other Conn.
type passing struct {
	conn, to *wire.Conn
	moved    *int
	both     *int // directions that have ended
}

func (p *passing) OnOpen() {}
func (p *passing) OnData(b []byte) {
	(*p.to).Write(b, nil)
	if (*p.to).Buffered() > wire.HighWater {
		(*p.conn).Pause()
	}
}
func (p *passing) OnForwarded(n int) { *p.moved += n }
func (p *passing) OnEOF() {
	(*p.to).CloseWrite()
	if *p.both++; *p.both == 2 {
		(*p.conn).Close()
		(*p.to).Close()
	}
}
func (p *passing) OnDrained()    { (*p.to).Resume() }
func (p *passing) OnClose(error) { (*p.to).Abort() }

// relayed is a listening that passes every connection on to addr, in the
// kernel if splicing; moved counts what went that way, on the loop.
func relayed(t testing.TB, d *Driver, to netip.AddrPort, splicing bool, moved *int) wire.Listening {
	t.Helper()
	l, err := d.Listen(loopback, wire.ListenOptions{}, func(c wire.Conn, _ bool) {
		both := 0
		var up wire.Conn
		in := &passing{conn: &c, to: &up, moved: moved, both: &both}
		out := &passing{conn: &up, to: &c, moved: moved, both: &both}
		up = c.Loop().Dial(to, out)
		c.SetHandler(in)
		if splicing {
			if !c.(wire.Forwarder).Forward(up, in) || !up.(wire.Forwarder).Forward(c, out) {
				t.Error("it cannot be passed on")
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestForward sends much and little in both directions at once, and ends them
// one after the other.
func TestForward(t *testing.T) {
	t.Parallel()
	d := start(t, 1)
	const size = 24 << 20
	echoed := listen(t, d, func() *script {
		return &script{
			data: func(s *script, b []byte) {
				s.c.Write(b, nil)
				if s.c.Buffered() > wire.HighWater {
					s.c.Pause()
				}
			},
			drained: func(s *script) { s.c.Resume() },
			eof: func(s *script) {
				s.c.Write([]byte("the end"), nil)
				s.c.CloseWrite()
			},
		}
	})
	moved := 0
	c := client(t, relayed(t, d, echoed.Addr(), true, &moved))
	sent := sha256.New()
	go func() {
		r := rand.New(rand.NewPCG(1, 2))
		block := make([]byte, 1<<20)
		for left := size; left > 0; {
			n := min(left, 1+r.IntN(len(block)))
			if r.IntN(4) == 0 {
				n = min(left, 1+r.IntN(200))
			}
			for i := range n {
				block[i] = byte(r.Uint32())
			}
			sent.Write(block[:n])
			if _, err := c.Write(block[:n]); err != nil {
				t.Error(err)
				return
			}
			left -= n
		}
		_ = c.CloseWrite() // the reader would find out
	}()
	got := sha256.New()
	tail := &bytes.Buffer{}
	if n, err := io.CopyN(got, c, size); err != nil {
		t.Fatalf("%d bytes: %v", n, err)
	}
	if _, err := io.Copy(tail, c); err != nil || tail.String() != "the end" {
		t.Errorf("at the end %q, %v", tail, err)
	}
	if !bytes.Equal(got.Sum(nil), sent.Sum(nil)) {
		t.Error("what came back is not what was sent")
	}
	on(t, d.loops[0], func() {
		if moved < size/4 {
			t.Errorf("%d of %d bytes went in the kernel", moved, 2*size)
		}
	})
}

// TestForwardBackpressure has a receiver that reads nothing for a while: what
// is under way stays bounded, and then all arrives.
func TestForwardBackpressure(t *testing.T) {
	t.Parallel()
	d := start(t, 1)
	const size = 64 << 20
	written := make(chan int, 1)
	source, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { source.Close() })
	go func() {
		c, err := source.Accept()
		if err != nil {
			return
		}
		block, n := make([]byte, 1<<20), 0
		for n < size {
			k, err := c.Write(block)
			if n += k; err != nil {
				break
			}
		}
		written <- n
		c.Close()
	}()
	moved := 0
	c := client(t, relayed(t, d, addrOf(source), true, &moved))
	if _, err := io.ReadFull(c, make([]byte, 4<<20)); err != nil {
		t.Fatal(err)
	}
	// It stops by itself, far from the end.
	last := -1
	for stable := 0; stable < 50; {
		now := 0
		on(t, d.loops[0], func() { now = moved })
		if now == last {
			stable++
		} else {
			stable, last = 0, now
		}
		runtime.Gosched()
	}
	if last > 40<<20 {
		t.Errorf("%d bytes passed while nobody read", last)
	}
	if n, err := io.Copy(io.Discard, c); err != nil || n != size-4<<20 {
		t.Errorf("then %d bytes, %v", n, err)
	}
	if n := <-written; n != size {
		t.Errorf("%d written", n)
	}
}

// TestForwardReset passes a reset on from either side.
func TestForwardReset(t *testing.T) {
	t.Parallel()
	for _, fromClient := range []bool{true, false} {
		t.Run(fmt.Sprint("client ", fromClient), func(t *testing.T) {
			t.Parallel()
			d := start(t, 1)
			gone := make(chan error, 1)
			var serving *script
			up := listen(t, d, func() *script {
				serving = &script{
					data:   func(s *script, b []byte) { s.c.Write(make([]byte, 1<<20), nil) },
					closed: func(_ *script, err error) { gone <- err },
				}
				return serving
			})
			moved := 0
			c := client(t, relayed(t, d, up.Addr(), true, &moved))
			if _, err := c.Write([]byte("go")); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(c, make([]byte, 300<<10)); err != nil {
				t.Fatal(err)
			}
			if fromClient {
				_ = c.SetLinger(0)
				c.Close()
				if err := await(t, "the end", gone); !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
					t.Errorf("the service is told %v", err)
				}
				return
			}
			on(t, d.loops[0], func() { serving.c.Abort() })
			if _, err := io.Copy(io.Discard, c); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("the client is told %v", err)
			}
		})
	}
}

// TestForwardKeepsNoPipes ends relays in every state and counts descriptors.
func TestForwardKeepsNoPipes(t *testing.T) {
	d := start(t, 1)
	up := listen(t, d, func() *script {
		return &script{data: func(s *script, b []byte) {
			for range 16 {
				s.c.Write(make([]byte, 1<<20), nil)
			}
		}}
	})
	moved := 0
	l := relayed(t, d, up.Addr(), true, &moved)
	round := func() {
		for i := range 2 * pipesKept {
			c := client(t, l)
			if _, err := c.Write([]byte("go")); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(c, make([]byte, 1+i<<14)); err != nil {
				t.Fatal(err)
			}
			_ = c.SetLinger(0)
			c.Close()
		}
	}
	round()
	settle := func() (n int) {
		for last, same := -1, 0; same < 20; {
			on(t, d.loops[0], func() {})
			files, err := os.ReadDir("/proc/self/fd")
			if err != nil {
				t.Fatal(err)
			}
			if n = len(files); n == last {
				same++
			} else {
				last, same = n, 0
			}
		}
		return n
	}
	before := settle()
	round()
	if after := settle(); after > before+2 {
		t.Errorf("%d descriptors, and %d after another round", before, after)
	}
}

func addrOf(l net.Listener) netip.AddrPort { return netip.MustParseAddrPort(l.Addr().String()) }
