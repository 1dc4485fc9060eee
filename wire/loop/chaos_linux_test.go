package loop

import (
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/naru-mesh/naru/wire"
)

// unruly does at random what a handler may do, and checks what it is told
// against what it did.
type unruly struct {
	t     *testing.T
	c     wire.Conn
	r     *rand.Rand
	ended bool // we closed, or were told that it is closed
	eof   bool
	high  bool
}

func (u *unruly) check(what string) {
	if u.ended {
		u.t.Errorf("%s after the end", what)
	}
}

func (u *unruly) OnOpen() { u.check("OnOpen"); u.act() }

func (u *unruly) OnData(b []byte) {
	u.check("OnData")
	if u.eof || len(b) == 0 || u.c.(*conn).paused {
		u.t.Errorf("OnData of %d bytes: after the end %v, paused %v", len(b), u.eof, u.c.(*conn).paused)
	}
	u.act()
}

func (u *unruly) OnEOF() {
	u.check("OnEOF")
	if u.eof {
		u.t.Error("OnEOF twice")
	}
	u.eof = true
	u.act()
	u.leave()
}

func (u *unruly) OnDrained() {
	u.check("OnDrained")
	if !u.high || u.c.Buffered() > wire.LowWater {
		u.t.Errorf("OnDrained with %d bytes left", u.c.Buffered())
	}
	u.high = false
	u.act()
}

func (u *unruly) OnClose(err error) {
	u.check("OnClose")
	if err == nil {
		u.t.Error("OnClose without an error")
	}
	u.ended = true
	u.act() // does nothing, and does no harm
}

func (u *unruly) leave() {
	if !u.ended {
		u.ended = true
		[]func(){u.c.Close, u.c.Finish, u.c.Abort}[u.r.IntN(3)]()
	}
}

var noise = make([]byte, 3<<20)

func (u *unruly) act() {
	switch u.r.IntN(12) {
	case 0:
		u.leave()
	case 1:
		u.c.CloseWrite()
	case 2, 3:
		u.c.Pause()
		u.c.Loop().Post(u.c.Resume)
	case 4:
		u.c.Write(nil, noise[:u.r.IntN(len(noise))])
	default:
		u.c.Write(noise[:u.r.IntN(2000)], noise[:u.r.IntN(2000)])
	}
	u.high = u.high || u.c.Buffered() > wire.LowWater
}

// TestChaos plays unruly handlers, accepted and dialled, against unruly peers.
// Nothing may be left behind.
func TestChaos(t *testing.T) {
	t.Parallel()
	d := start(t, 2)
	seed := uint64(0)
	var mu sync.Mutex
	newUnruly := func() *unruly {
		mu.Lock()
		defer mu.Unlock()
		seed++
		return &unruly{t: t, r: rand.New(rand.NewPCG(seed, 7))}
	}
	l, err := d.Listen(loopback, wire.ListenOptions{}, func(c wire.Conn, _ bool) {
		u := newUnruly()
		u.c = c
		c.SetHandler(u)
	})
	if err != nil {
		t.Fatal(err)
	}
	there, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var peers sync.WaitGroup
	misbehave := func(c *net.TCPConn, r *rand.Rand) {
		go func() { _, _ = io.Copy(io.Discard, c) }()
		for range r.IntN(12) {
			if _, err := c.Write(noise[:1+r.IntN(100_000)]); err != nil {
				break
			}
		}
		if r.IntN(2) == 0 {
			_ = c.CloseWrite()
			_, _ = io.Copy(io.Discard, c)
		}
		if r.IntN(2) == 0 {
			_ = c.SetLinger(0)
		}
		_ = c.Close()
	}
	const n = 150
	var called sync.WaitGroup
	called.Go(func() {
		for i := uint64(0); ; i++ {
			c, err := there.Accept()
			if err != nil {
				return
			}
			called.Go(func() { misbehave(c.(*net.TCPConn), rand.New(rand.NewPCG(i, 8))) })
		}
	})
	for i := range uint64(n) {
		peers.Go(func() {
			if c, err := net.Dial("tcp", l.Addr().String()); err == nil {
				misbehave(c.(*net.TCPConn), rand.New(rand.NewPCG(i, 9)))
			}
		})
		loop := d.loops[i%2]
		loop.Post(func() {
			u := newUnruly()
			u.c = loop.Dial(there.Addr().(*net.TCPAddr).AddrPort(), u)
			if u.r.IntN(2) == 0 {
				u.act()
			}
		})
	}
	wait := func(g *sync.WaitGroup) {
		t.Helper()
		all := make(chan struct{})
		go func() { g.Wait(); close(all) }()
		await(t, "the end of every peer", all)
	}
	wait(&peers)
	late := time.Now().Add(patience)
	for i := range d.loops {
		for figures(t, d, i).Open > 0 { // the last ends are on their way
			if time.Now().After(late) {
				t.Fatalf("connections stay open: %+v", figures(t, d, i))
			}
		}
	}
	_ = there.Close()
	wait(&called)
	for i := range d.loops {
		if s := figures(t, d, i); s.Buffered != 0 || s.Panics != 0 {
			t.Errorf("loop %d: %+v", i, s)
		}
		on(t, d.loops[i], func() {
			for _, page := range d.loops[i].table.pages {
				for _, c := range page {
					if c != nil {
						t.Errorf("left in the table: %+v", c)
					}
				}
			}
		})
	}
	if l.Conns() != 0 {
		t.Errorf("%d connections are still counted", l.Conns())
	}
}
