package loop

import (
	"errors"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/naru-mesh/naru/wire"
)

// alarm is a TimerHandler.
type alarm func(t *wire.Timer)

func (a alarm) OnTimer(t *wire.Timer) { a(t) }

// TestTimers: never early, in order, also on a loop that rests and on one that
// is woken by nothing else.
func TestTimers(t *testing.T) {
	t.Parallel()
	d := start(t, 2)
	rest(t, d.loops[1])
	for _, l := range d.loops {
		fired := make(chan time.Duration, 16)
		timers := make([]wire.Timer, 8)
		on(t, l, func() {
			last := time.Duration(0)
			for i := range timers {
				delay := time.Duration(i*13) * time.Millisecond
				due := l.Now() + delay
				timers[i].Handler = alarm(func(k *wire.Timer) {
					if l.Now() < due || due < last || k.Armed() {
						t.Errorf("timer due %v fired at %v after one due %v", due, l.Now(), last)
					}
					last = due
					fired <- due
				})
				l.Arm(&timers[i], delay)
			}
		})
		for range timers {
			await(t, "a timer", fired)
		}
	}
}

// TestTimerStopsAndMoves: disarmed timers are silent, a handler may arm its
// timer again, no delay means the next turn.
func TestTimerStopsAndMoves(t *testing.T) {
	t.Parallel()
	l := start(t, 1).loops[0]
	var again, moved, stopped wire.Timer
	done := make(chan struct{})
	left := 5
	again.Handler = alarm(func(k *wire.Timer) {
		if left--; left > 0 {
			l.Arm(k, time.Duration(left%2)*time.Millisecond)
			return
		}
		l.Arm(&moved, time.Millisecond)
	})
	moved.Handler = alarm(func(*wire.Timer) { close(done) })
	stopped.Handler = alarm(func(*wire.Timer) { t.Error("a disarmed timer fired") })
	on(t, l, func() {
		l.Arm(&again, 0)
		l.Arm(&moved, 24*time.Hour)
		l.Arm(&stopped, time.Millisecond)
		l.Disarm(&stopped)
		l.Disarm(&stopped)
	})
	await(t, "the moved timer", done)
}

// TestRearmingCostsNothing: time-outs that are moved for each request neither
// wake the clock nor the loop.
func TestRearmingCostsNothing(t *testing.T) {
	t.Parallel()
	d := start(t, 1)
	l := d.loops[0]
	silent := wire.Timer{Handler: alarm(func(*wire.Timer) {})}
	on(t, l, func() { l.Arm(&silent, time.Minute) })
	on(t, l, func() {})
	target := d.clock.target.Load()
	for range 100 {
		on(t, l, func() { l.Arm(&silent, time.Minute) })
	}
	if now := d.clock.target.Load(); now != target && target != never {
		t.Errorf("the clock was moved from %v to %v", target, now)
	}
	if n := figures(t, d, 0).Timers; n != 0 {
		t.Errorf("%d timers fired", n)
	}
}

// TestWallFollowsTheClock: when the wall clock is set, Wall learns of it.
func TestWallFollowsTheClock(t *testing.T) {
	t.Parallel()
	l := start(t, 1).loops[0]
	on(t, l, func() {
		good := func() bool {
			off := time.Since(l.Wall())
			return off > -time.Second && off < patience
		}
		if !good() {
			t.Error("Wall is off")
		}
		l.wall = l.wall.Add(-time.Hour)
		l.wallAt -= 2 * time.Second
		if !good() {
			t.Error("the reading was not renewed")
		}
	})
}

// TestPosts: everything posted runs, in the order of each sender, whether the
// loop is busy, waits or rests.
func TestPosts(t *testing.T) {
	t.Parallel()
	d := start(t, 2)
	rest(t, d.loops[1])
	const senders, each = 8, 2000
	for _, l := range d.loops {
		var next [senders]int
		var wg, sent sync.WaitGroup
		for s := range senders {
			wg.Add(each)
			sent.Go(func() {
				for i := range each {
					l.Post(func() {
						if next[s] != i {
							t.Errorf("sender %d: post %d ran after %d", s, i, next[s]-1)
						}
						next[s] = i + 1
						wg.Done()
					})
					if i%97 == 0 {
						runtime.Gosched()
					}
				}
			})
		}
		sent.Wait()
		all := make(chan struct{})
		go func() { wg.Wait(); close(all) }()
		await(t, "every post", all)
	}
}

// TestPostOneByOne gives the loop time to fall asleep between two: a lost
// wake-up would hang here.
func TestPostOneByOne(t *testing.T) {
	t.Parallel()
	d := start(t, 1)
	for i := range 3000 {
		if i%7 == 0 {
			rest(t, d.loops[0])
		}
		on(t, d.loops[0], func() {})
	}
}

// TestCollections: stopping the world is not hindered by loops that hold their
// P in the kernel, idle or busy.
func TestCollections(t *testing.T) {
	t.Parallel()
	d := start(t, 2)
	c := client(t, listen(t, d, echo))
	stop := make(chan struct{})
	done := make(chan error, 1)
	go func() {
		b := make([]byte, 64)
		for {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			if _, err := c.Write(b); err != nil {
				done <- err
				return
			}
			if _, err := io.ReadFull(c, b); err != nil {
				done <- err
				return
			}
		}
	}()
	collected := make(chan struct{})
	go func() {
		defer close(collected)
		for range 30 {
			runtime.GC()
		}
	}()
	await(t, "30 collections", collected)
	close(stop)
	if err := await(t, "the client's end", done); err != nil {
		t.Fatal(err)
	}
}

// TestPanics: whatever panics, the loop goes on, nothing else is lost, and the
// owner of the connection can clean up.
func TestPanics(t *testing.T) {
	t.Parallel()
	d := start(t, 1)
	l := d.loops[0]
	c := client(t, listen(t, d, echo))
	r, _, peer := accepted(t, d, nil)
	on(t, l, func() {
		r.data = func(*script, []byte) { panic("in OnData") }
		tell := r.closed
		r.closed = func(s *script, err error) { tell(s, err); panic("in OnClose") }
	})
	on(t, l, func() { // both are in one batch
		_, _ = peer.Write([]byte("boom"))
		_, _ = c.Write([]byte("fine"))
	})
	if err := await(t, "OnClose", r.close); !strings.Contains(err.Error(), "in OnData") {
		t.Errorf("OnClose(%v)", err)
	}
	timer := wire.Timer{Handler: alarm(func(*wire.Timer) { panic("in a timer") })}
	ran := make(chan struct{})
	l.Post(func() { l.Arm(&timer, 0); panic("in a post") })
	l.Post(func() { close(ran) })
	await(t, "the post after", ran)
	refuse, err := d.Listen(loopback, wire.ListenOptions{}, func(wire.Conn, bool) { panic("in an acceptor") })
	if err != nil {
		t.Fatal(err)
	}
	if !isReset(refuse) {
		t.Error("the connection of the panicking acceptor was not reset")
	}
	got := make([]byte, 4)
	if _, err := io.ReadFull(c, got); err != nil || string(got) != "fine" {
		t.Errorf("the other connection read %q, %v", got, err)
	}
	if s := figures(t, d, 0); s.Panics != 5 || s.Open != 1 {
		t.Errorf("%d panics, %d open connections; want 5, 1", s.Panics, s.Open)
	}
}

// TestDriverClose: handlers are told, later calls do nothing.
func TestDriverClose(t *testing.T) {
	t.Parallel()
	d := start(t, 2)
	var told atomic.Int32
	met := make(chan struct{}, 8)
	l, err := d.Listen(loopback, wire.ListenOptions{}, func(c wire.Conn, _ bool) {
		c.SetHandler(&script{closed: func(_ *script, err error) {
			if !errors.Is(err, wire.ErrClosed) {
				t.Errorf("OnClose(%v)", err)
			}
			told.Add(1)
			again := c.Loop().Dial(c.Peer().Remote, &script{})
			again.Write([]byte("x"), nil)
			again.Close()
		}})
		met <- struct{}{}
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 4 {
		client(t, l)
	}
	for range 4 {
		await(t, "accept", met)
	}
	d.Close()
	d.Close()
	if n := told.Load(); n != 4 {
		t.Errorf("%d handlers were told, want 4", n)
	}
	d.Loops()[0].Post(func() { t.Error("a post ran after Close") })
	if _, err := d.Listen(loopback, wire.ListenOptions{}, nil); err == nil {
		t.Error("Listen after Close")
	}
	l.Close()
	if s := d.Stats()[0]; s.CPU != 0 || s.Open != 0 {
		t.Errorf("after Close: %+v", s)
	}
}

func TestNewRefusesNonsense(t *testing.T) {
	t.Parallel()
	for _, opt := range []Options{{Loops: -1}, {Loops: 1, ReadBuffer: 100}} {
		if d, err := New(opt); err == nil {
			d.Close()
			t.Errorf("%+v was accepted", opt)
		}
	}
}

func TestMayHold(t *testing.T) {
	t.Parallel()
	for godebug, want := range map[string]bool{"": true, "gctrace=1": true, "gctrace=1,asyncpreemptoff=1": false} {
		if got := mayHold(godebug); got != want {
			t.Errorf("GODEBUG=%s: %v", godebug, got)
		}
	}
}

func TestProcsAreRaised(t *testing.T) {
	d := start(t, 3)
	if n := runtime.GOMAXPROCS(0); n < 5 {
		t.Errorf("GOMAXPROCS is %d with 3 loops", n)
	}
	before := runtime.GOMAXPROCS(0)
	d.Close()
	if n := runtime.GOMAXPROCS(0); n > before {
		t.Errorf("GOMAXPROCS rose to %d at Close", n)
	}
}

// TestTableAgainstMap adds and removes at random.
func TestTableAgainstMap(t *testing.T) {
	t.Parallel()
	var table table[conn]
	want := map[int32]*conn{}
	r := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		if r.IntN(5) < 3 {
			c := new(conn)
			id := table.add(c)
			if want[id] != nil {
				t.Fatalf("number %d was given twice", id)
			}
			want[id] = c
		} else {
			for id := range want {
				table.remove(id)
				delete(want, id)
				break
			}
		}
	}
	for id, c := range want {
		if table.at(id) != c {
			t.Fatalf("number %d is another's", id)
		}
	}
}

// readsAhead is a ConnHandler that counts how often it was told to.
type readsAhead struct {
	*script
	times *int
}

func (r readsAhead) Warm() uint64 { *r.times++; return 1 }

// TestWarm: of many events the handlers are told before what has come is given
// to them, of few they are not.
func TestWarm(t *testing.T) {
	t.Parallel()
	const conns = 4 * manyEvents
	d := start(t, 1)
	var times, got, early int // of the loop
	all := make(chan struct{}, 1)
	l, err := d.Listen(loopback, wire.ListenOptions{}, func(c wire.Conn, _ bool) {
		c.SetHandler(readsAhead{&script{c: c, data: func(*script, []byte) {
			if got++; times >= min(got, conns-manyEvents) {
				early++
			}
			if got%conns == 0 || got == conns+1 {
				all <- struct{}{}
			}
		}}, &times})
	})
	if err != nil {
		t.Fatal(err)
	}
	var clients []io.Writer
	for range conns {
		clients = append(clients, client(t, l))
	}
	await(t, "every connection", func() chan struct{} {
		open := make(chan struct{})
		go func() {
			for l.Conns() < conns {
				runtime.Gosched()
			}
			close(open)
		}()
		return open
	}())
	on(t, d.loops[0], func() { // while it sees none of it
		times = 0
		for _, c := range clients {
			if _, err := c.Write([]byte("x")); err != nil {
				t.Error(err)
			}
		}
	})
	await(t, "what was sent", all)
	on(t, d.loops[0], func() {
		if times < conns-manyEvents || early < conns-manyEvents {
			t.Errorf("%d of %d were read ahead, %d in time", times, conns, early)
		}
		times = 0
	})
	if _, err := clients[0].Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	await(t, "one more", all)
	on(t, d.loops[0], func() {
		if times != 0 {
			t.Errorf("one event was read ahead %d times", times)
		}
	})
}
