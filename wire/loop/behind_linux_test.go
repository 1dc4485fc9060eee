package loop

import (
	"net"
	"testing"
	"time"

	"github.com/naru-mesh/naru/wire"
)

// ranked is a script with a rank.
type ranked struct {
	script
	rank wire.Rank
}

func (r *ranked) Rank() wire.Rank { return r.rank }

// crowd is connections to a loop, each served by its own ranked.
type crowd struct {
	t       *testing.T
	d       *Driver
	clients []*net.TCPConn
	served  []*ranked
}

// gatherCrowd opens n connections that are served as serve says.
func gatherCrowd(t *testing.T, n int, serve func(i int, r *ranked)) *crowd {
	t.Helper()
	c := &crowd{t: t, d: start(t, 1)}
	arrived := make(chan *ranked, n)
	l, err := c.d.Listen(loopback, wire.ListenOptions{}, func(conn wire.Conn, _ bool) {
		r := &ranked{}
		r.c = conn
		conn.SetHandler(r)
		arrived <- r
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		c.clients = append(c.clients, client(t, l))
		r := await(t, "accept", arrived)
		on(t, c.d.loops[0], func() { serve(i, r) })
		c.served = append(c.served, r)
	}
	return c
}

// atOnce has the loop find what all of some clients have sent in one round.
func (c *crowd) atOnce(text string, clients []*net.TCPConn) {
	c.t.Helper()
	busy, sent := make(chan struct{}), make(chan struct{})
	c.d.loops[0].Post(func() { close(busy); <-sent })
	<-busy
	for _, k := range clients {
		if _, err := k.Write([]byte(text)); err != nil {
			c.t.Fatal(err)
		}
	}
	close(sent)
}

// spend takes a while, whatever else the machine does.
func spend(d time.Duration) {
	for until := time.Now().Add(d); time.Now().Before(until); {
	}
}

// TestBehind: a loop that is behind does what matters first, in the round that it
// has begun and while it catches up; what has begun goes before what has not; all of
// it is done in the end, and then events are handled as they come.
func TestBehind(t *testing.T) {
	t.Parallel()
	const many, begun, first, work = 60, 10, 3, 2 * time.Millisecond
	var order []int
	var late *net.TCPConn // sends while the loop catches up
	ended := make(chan struct{}, 1)
	waits := make(chan time.Duration, 1<<10)
	c := gatherCrowd(t, many+begun+first+1, func(i int, r *ranked) {
		switch {
		case i < many:
			r.rank = wire.RankLast
		case i < many+begun:
			r.rank = wire.RankBegun
		}
		r.data = func(*script, []byte) {
			order = append(order, i)
			spend(work)
			if len(order) == 40 {
				if _, err := late.Write([]byte("x")); err != nil {
					t.Error(err)
				}
			}
			if len(order) == many+begun+first+1 {
				ended <- struct{}{}
			}
		}
	})
	c.d.OnWait(func(_ int, wait time.Duration) {
		select {
		case waits <- wait:
		default:
		}
	})
	late = c.clients[many+begun+first]
	c.atOnce("x", c.clients[:many+begun+first])
	await(t, "the last event", ended)
	at := make([]int, len(order))
	l := c.d.loops[0]
	on(t, l, func() {
		for n, i := range order {
			at[i] = n
		}
	})
	// Until it is behind events are handled in order; that is lag, so many events of
	// work at the most, and those for which the clock is not read.
	const sorted = int(lag/work) + 2 + sameTime
	for i := many + begun; i < many+begun+first; i++ {
		if at[i] >= sorted+first {
			t.Errorf("%d matters, and is the %dth", i, at[i])
		}
	}
	// One slice, and what was in hand.
	if n, most := at[many+begun+first], 40+int(longSlice/work)+2; n > most {
		t.Errorf("what matters and comes while the loop catches up is the %dth, want %d at most", n, most)
	}
	for i := many; i < many+begun; i++ {
		if at[i] >= sorted+first+begun+1 {
			t.Errorf("%d has begun, and is the %dth", i, at[i])
		}
	}
	for i := 1; i < many; i++ {
		if at[i] < at[i-1] {
			t.Errorf("%d comes before %d", i, i-1)
		}
	}
	most := time.Duration(0)
	for ended := false; !ended; {
		w := await(t, "the wait", waits)
		most = max(most, w)
		ended = w == 0 && most > 0
	}
	if most < 10*work {
		t.Errorf("the longest wait that was told is %v", most)
	}
	on(t, l, func() {
		if l.behind || l.backlog.Len() > 0 {
			t.Error("the loop is still behind")
		}
	})
}

// TestPutOff: events of a connection that is put off are one when its turn comes:
// its end, its place in the ready list, and what came later; and where it comes to
// matter meanwhile it has its turn at once, and no other.
func TestPutOff(t *testing.T) {
	t.Parallel()
	const n = 3
	var got [n]string
	ends := make(chan int, n)
	c := gatherCrowd(t, n, func(i int, r *ranked) {
		r.rank = wire.RankLast
		r.data = func(_ *script, b []byte) { got[i] += string(b) }
		r.eof = func(s *script) { s.c.Close(); ends <- i }
		r.closed = func(*script, error) { ends <- i }
	})
	l := c.d.loops[0]
	step := func(fn func()) { // with a loop that comes to nothing that it puts off
		t.Helper()
		on(t, l, func() { l.behind, l.drained, l.lapse = true, false, 0; fn() })
	}
	turn := func() { // takes what the kernel has and puts it off
		l.got, _ = epollPoll(l.epoll, l.events)
		l.at = 0
		l.handleEvents()
		l.attendReady()
	}
	send := func(i int, text string) {
		if _, err := c.clients[i].Write([]byte(text)); err != nil {
			t.Error(err)
		}
	}
	step(func() {
		for i := range n {
			send(i, "a")
		}
		turn()
		if l.backlog.Len() != n || got != [n]string{} {
			t.Errorf("%d are put off; %q was read", l.backlog.Len(), got)
		}
		// The first is paused and goes on, and so is in the ready list as well.
		c.served[0].c.Pause()
		c.served[0].c.Resume()
		c.served[0].c.(*conn).readable = true
		c.served[0].c.(*conn).queue()
		send(0, "b")
		// The second comes to matter with what comes next.
		c.served[1].rank = wire.RankFirst
		send(1, "b")
		turn()
		if got != [n]string{"", "ab", ""} || l.backlog.Len() != n {
			t.Errorf("%q was read, %d are put off", got, l.backlog.Len())
		}
		// The third ends meanwhile.
		c.served[2].c.Abort()
	})
	step(func() {}) // the turn after this one has caught up
	on(t, l, func() {
		if got != [n]string{"ab", "ab", ""} || l.backlog.Len() != 0 {
			t.Errorf("in the end %q was read, %d are put off", got, l.backlog.Len())
		}
	})
	for i := range 2 {
		if err := c.clients[i].CloseWrite(); err != nil {
			t.Fatal(err)
		}
	}
	await(t, "an end", ends)
	await(t, "an end", ends)
}

// latecomer is a function as a wire.Latecomer.
type latecomer func()

func (f latecomer) OnTurn() { f() }

// TestPutOffOthers: what is no connection is sorted among these, in order, and only
// where the loop is behind.
func TestPutOffOthers(t *testing.T) {
	t.Parallel()
	l := start(t, 1).loops[0]
	on(t, l, func() {
		if l.Behind() {
			t.Error("an idle loop is behind")
		}
	})
	order := make(chan string, 5)
	on(t, l, func() {
		l.behind, l.drained, l.lapse = true, false, 0
		if !l.Behind() {
			t.Error("it is not behind")
		}
		l.PutOff(wire.RankLast, latecomer(func() { order <- "last" }))
		l.PutOff(wire.RankLast, latecomer(func() { panic("of one") }))
		l.PutOff(wire.RankBegun, latecomer(func() { order <- "begun" }))
		l.PutOff(wire.RankLast, latecomer(func() { order <- "after a panic" }))
		order <- "at once"
	})
	for _, want := range []string{"at once", "begun", "last", "after a panic"} {
		if got := await(t, want, order); got != want {
			t.Errorf("%s has its turn, want %s", got, want)
		}
	}
	on(t, l, func() {
		if l.behind || l.backlog.Len() > 0 {
			t.Errorf("behind: %v, %d are left", l.behind, l.backlog.Len())
		}
	})
}
