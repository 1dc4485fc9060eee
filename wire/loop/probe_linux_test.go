package loop

import (
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/naru-mesh/naru/wire"
)

// TestQueueDelay: a loop whose handlers take long says how long events wait; one
// that has little to do, and one that has nothing, say that they do not.
func TestQueueDelay(t *testing.T) {
	t.Parallel()
	d := start(t, 1)
	d.Beat(time.Millisecond)
	var work atomic.Int64 // for each message
	l := listen(t, d, func() *script {
		return &script{
			data: func(s *script, b []byte) {
				for until := time.Now().Add(time.Duration(work.Load())); time.Now().Before(until); {
				}
				s.c.Write(b, nil)
			},
			eof: func(s *script) { s.c.Close() },
		}
	})
	const n = 20
	var clients []*net.TCPConn
	for range n {
		clients = append(clients, client(t, l))
	}
	// round has every client ask, and then reads what each gets.
	round := func() {
		for _, c := range clients {
			if _, err := c.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
		}
		var b [1]byte
		for _, c := range clients {
			if _, err := c.Read(b[:]); err != nil {
				t.Fatal(err)
			}
		}
	}
	work.Store(int64(2 * time.Millisecond))
	longest := time.Duration(0)
	for range 100 {
		d.Delays(nil)
		round()
		if longest = max(longest, d.Delays(nil)[0]); longest >= 10*time.Millisecond {
			break
		}
	}
	if longest < 10*time.Millisecond {
		t.Errorf("of 20 events of 2 ms one has waited for %v at the most", longest)
	}
	await(t, "a beat", d.Beats())
	work.Store(0)
	quick := time.Hour
	for range 1000 {
		round()
		if v := d.Delays(nil)[0]; v > 0 {
			quick = min(quick, v)
		}
		if quick < 2*time.Millisecond {
			break
		}
	}
	if quick >= 2*time.Millisecond {
		t.Errorf("of quick events each has waited for %v", quick)
	}
	// A probe that is still on its way when the clients have read comes back soon.
	for until := time.Now().Add(patience); d.Delays(nil)[0] != 0; {
		if time.Now().After(until) {
			t.Fatal("the loop does not come to rest")
		}
	}
}

// TestSilence: a loop with nothing to do does not beat, nor does it probe.
func TestSilence(t *testing.T) {
	t.Parallel()
	d := start(t, 1)
	d.Beat(time.Millisecond)
	waits := func() int64 { return d.loops[0].count.shown[countWaits].Load() }
	ran := make(chan struct{})
	d.loops[0].Post(func() { close(ran) })
	await(t, "a post", ran)
	select {
	case <-d.Beats():
		t.Error("a wake-up alone is a beat")
	default:
	}
	if got := d.Delays(nil); len(got) != 1 || got[0] != 0 {
		t.Errorf("delays %v", got)
	}
	if n := waits(); n > 10 {
		t.Errorf("the loop has waited %d times", n)
	}
}

// TestPace: sockets accept one connection after another, all in the end, whatever
// the pace; with a rest between them while it is seldom.
func TestPace(t *testing.T) {
	t.Parallel()
	for _, pace := range []Pace{PaceAll, PaceMany, PaceTurn, PaceRest} {
		d := start(t, 1)
		d.SetPace(pace)
		type arrival struct{ at time.Duration }
		arrivals := make(chan arrival, 16)
		l, err := d.Listen(loopback, wire.ListenOptions{}, func(c wire.Conn, _ bool) {
			arrivals <- arrival{c.Loop().Now()}
			c.SetHandler(echo())
		})
		if err != nil {
			t.Fatal(err)
		}
		const n = 4
		for range n {
			client(t, l)
		}
		var last time.Duration
		for i := range n {
			a := await(t, "accept", arrivals)
			if i > 0 && pace == PaceRest && a.at-last < acceptRest {
				t.Errorf("connection %d came %v after the one before", i, a.at-last)
			}
			last = a.at
		}
		if pace == PaceRest {
			d.SetPace(PaceAll)
			client(t, l)
			await(t, "accept", arrivals)
		}
	}
}
