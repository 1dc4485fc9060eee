package loop

import (
	"fmt"
	"math"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/naru-mesh/naru/backlog"
	"github.com/naru-mesh/naru/wire"
	"golang.org/x/sys/unix"
)

const (
	eventsMax = 256 // taken from the kernel at once
	idleTicks = 100 // interrupted waits, 10 ms each, until the loop rests
	wakeID    = -1  // of the mailbox's eventfd in events
	probeID   = -2  // of the probe's; sockets that listen count down from -3
)

// loop is one event loop. Everything but the mailbox, the due time, the
// shown counters and the listening sockets belongs to its goroutine.
type loop struct {
	driver *Driver
	index  int
	epoll  int32
	home   int32 // its network namespace; 0: not needed yet
	probes probes
	thread atomic.Int32 // for its clock; 0 before it runs and afterwards

	box     mailbox
	due     atomic.Int64 // published to the clock
	sockets sockets
	count   counters

	now    time.Duration
	wall   time.Time // the wall clock at wallAt
	wallAt time.Duration

	wheel      wire.Wheel
	table      table[conn]
	packets    table[packetSocket]
	pipes      pipes
	batch      *batch // of datagrams; made when the first socket for them is
	generation int32
	buffer     []byte // lent to OnData
	joined     []byte // scratch of Write
	chunks     chunks

	// What is in hand. It stands here, not in local variables, so that the
	// loop goes on after a panic where it was.
	events   []unix.EpollEvent
	got      int // events[at:got] are to be handled
	gathered gathered

	dials     int    // begun in this turn
	undialled []call // asked for beyond what a turn begins
	at        int
	posts     []func()
	postAt    int
	accepted  []handed
	acceptAt  int
	ready     []*conn // have something to tell or to read
	attended  []*conn
	attendAt  int
	current   *conn  // whose handler is being called
	warmth    uint64 // what warm has read

	// Of a loop that is behind: what it has put off, and when it last came to that.
	// lapse is when it will be behind, 0 when it is or a round begins (drained).
	behind, drained bool
	lapse, caught   time.Duration
	told            time.Duration
	backlog         backlog.Backlog[wire.Latecomer]

	idle     int // waits interrupted in a row
	stopping bool
	noted    time.Duration // when a failing accept was last logged
}

func newLoop(d *Driver, index, buffer int) (*loop, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll_create: %w", err)
	}
	l := &loop{driver: d, index: index, epoll: int32(epoll), noted: math.MinInt64 / 2, drained: true}
	eventfd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		closeSocket(l.epoll)
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	l.box.eventfd = int32(eventfd)
	if e := epollControl(l.epoll, unix.EPOLL_CTL_ADD, l.box.eventfd, unix.EPOLLIN|unix.EPOLLET, wakeID, 0); e != 0 {
		l.closeFiles()
		return nil, fmt.Errorf("epoll_ctl: %w", e)
	}
	l.buffer = make([]byte, buffer)
	l.joined = make([]byte, 0, joinMax)
	l.gathered.data = make([]byte, 0, gatherSize)
	l.events = make([]unix.EpollEvent, eventsMax)
	l.due.Store(never)
	return l, nil
}

func (l *loop) Index() int         { return l.index }
func (l *loop) Now() time.Duration { return l.now }
func (l *loop) Post(fn func())     { l.box.post(fn) }

func (l *loop) Arm(t *wire.Timer, d time.Duration) { l.wheel.Arm(t, l.now, d) }
func (l *loop) Disarm(t *wire.Timer)               { l.wheel.Disarm(t) }

// Wall adds to a reading of the wall clock what has passed since. The reading
// is renewed every second: the wall clock may be set.
func (l *loop) Wall() time.Time {
	if l.wall.IsZero() || l.now-l.wallAt > time.Second {
		t := time.Now()
		l.wallAt = t.Sub(l.driver.clock.base)
		l.wall = t.Round(0)
	}
	return l.wall.Add(l.now - l.wallAt)
}

// run is the goroutine of the loop.
func (l *loop) run() {
	defer l.driver.running.Done()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	l.thread.Store(int32(unix.Gettid()))
	defer l.thread.Store(0)
	for !l.stopping {
		l.turns()
	}
	l.end()
}

// turns runs until the loop stops or a handler panics; run enters it again.
func (l *loop) turns() {
	defer l.recovered()
	for {
		l.handleEvents()
		l.handlePosts()
		l.fireTimers()
		l.attendReady()
		if len(l.undialled) > 0 {
			l.dialLater()
		}
		if l.behind {
			l.catchUp()
		}
		if l.stopping {
			return
		}
		l.wait()
	}
}

// recovered ends the connection whose handler panicked. It is deferred once
// for many events, so it costs none of them anything.
func (l *loop) recovered() {
	r := recover()
	if r == nil {
		return
	}
	l.notePanic(r)
	c := l.current
	l.current = nil
	if c != nil && c.phase != closed {
		l.tellQuietly(c, fmt.Errorf("panic in handler: %v", r))
	}
}

// tellQuietly resets c and tells its handler, whose state may be anything: it
// may panic again.
func (l *loop) tellQuietly(c *conn, err error) {
	defer func() {
		if r := recover(); r != nil {
			l.notePanic(r)
		}
	}()
	if c.fd >= 0 {
		resetOnClose(c.fd)
	}
	c.lost(err)
}

func (l *loop) notePanic(r any) {
	l.count.add(countPanics, 1)
	l.driver.log.Error("panic in a handler", "loop", l.index, "panic", r, "stack", string(debug.Stack()))
}

func (l *loop) refresh() { l.now = time.Since(l.driver.clock.base) }

// handleEvents handles what the last wait brought.
func (l *loop) handleEvents() {
	if l.got == 0 {
		l.refresh()
	} else if l.at == 0 && l.now >= l.probes.due && !l.idles() {
		l.sound()
	}
	l.gathered.on = l.got >= gatherFrom
	for l.at < l.got {
		if l.at%gatherEvents == 0 {
			l.scatter()
		}
		if l.got >= manyEvents && l.at%readAhead == 0 {
			l.warm()
		}
		if l.at%sameTime == 0 || !l.gathered.on {
			l.refresh()
		}
		e := &l.events[l.at]
		l.at++
		if e.Fd < 0 {
			switch e.Fd {
			case wakeID:
			case probeID:
				l.probed(int(e.Pad))
			default:
				l.sockets.event(e.Fd)
			}
			continue
		}
		if e.Fd >= packetBase {
			if s := l.packets.at(e.Fd - packetBase); s != nil && s.generation == e.Pad {
				s.ready()
			}
			continue
		}
		// The connection may have been closed earlier in this batch, and its
		// number given to another.
		if c := l.table.at(e.Fd); c != nil && c.generation == e.Pad {
			if l.lags() {
				l.sort(c, e.Events)
				continue
			}
			l.current = c
			c.event(e.Events)
		}
	}
	l.current = nil
	l.gathered.on = false
	l.scatter()
}

// Of many events the connections are read ahead, some at a time.
const (
	manyEvents = 80
	readAhead  = 16
)

// warm reads what the next events need, so that the processor fetches it from
// memory for all of them at once, and not for one after the other: where many
// connections are busy, none of it is in the caches near to the processor.
func (l *loop) warm() {
	var sum uint64
	for _, e := range l.events[l.at:min(l.at+readAhead, l.got)] {
		if e.Fd < 0 || e.Fd >= packetBase {
			continue
		}
		if c := l.table.at(e.Fd); c != nil {
			sum += c.Warm()
			if w, ok := c.handler.(wire.Warmer); ok {
				sum += w.Warm()
			}
		}
	}
	l.warmth = sum
}

// handlePosts runs what other goroutines sent.
func (l *loop) handlePosts() {
	if l.postAt == len(l.posts) && l.acceptAt == len(l.accepted) {
		if !l.box.waiting.Load() {
			return
		}
		l.posts, l.accepted = l.box.take(l.posts, l.accepted)
		l.postAt, l.acceptAt = 0, 0
	}
	for l.acceptAt < len(l.accepted) {
		h := l.accepted[l.acceptAt]
		l.accepted[l.acceptAt] = handed{}
		l.acceptAt++
		l.refresh()
		l.adopt(h)
	}
	for l.postAt < len(l.posts) {
		fn := l.posts[l.postAt]
		l.posts[l.postAt] = nil
		l.postAt++
		l.refresh()
		l.count.add(countPosts, 1)
		fn()
	}
}

func (l *loop) fireTimers() {
	l.wheel.Advance(l.now)
	for t := l.wheel.Pop(); t != nil; t = l.wheel.Pop() {
		l.refresh()
		l.count.add(countTimers, 1)
		t.Handler.OnTimer(t)
	}
}

// attendReady handles the connections on the ready list; what they put there
// meanwhile is for the next turn.
func (l *loop) attendReady() {
	if l.attendAt == len(l.attended) {
		if len(l.ready) == 0 {
			return
		}
		l.attended, l.ready = l.ready, l.attended[:0]
		l.attendAt = 0
	}
	for l.attendAt < len(l.attended) {
		c := l.attended[l.attendAt]
		l.attended[l.attendAt] = nil
		l.attendAt++
		l.refresh()
		if l.lags() {
			l.sort(c, attended)
			continue
		}
		l.current = c
		c.attend()
	}
	l.current = nil
}

// wait takes new events. Where something is to be done already it does not
// wait; otherwise it does so without a time-out, and without polling first
// (which would cost a system call for nothing most of the time).
func (l *loop) wait() {
	l.dials = 0
	l.count.add(countWaits, 1)
	l.count.show()
	var n int
	var e syscall.Errno
	if l.busy() {
		n, e = epollPoll(l.epoll, l.events)
	} else {
		l.box.asleep.Store(true)
		switch {
		case l.box.waiting.Load() || !l.publish():
			n, e = epollPoll(l.epoll, l.events)
		case l.driver.hold && l.idle < idleTicks:
			n, e = epollWaitHeld(l.epoll, l.events)
		default:
			n, e = epollWaitReleased(l.epoll, l.events)
		}
		l.box.asleep.Store(false)
	}
	l.at, l.got = 0, n
	switch {
	case e == syscall.EINTR:
		l.got = 0
		if l.idle < idleTicks {
			l.idle++
		}
		checkpoint()
	case e != 0:
		// Only a wrong descriptor or a wrong address is left.
		panic(fmt.Sprintf("epoll_wait: %v", e))
	case !l.idles():
		l.idle = 0 // a wake-up alone is not traffic: timers do not keep a loop from resting
	}
	l.recovers(l.got)
	l.count.add(countEvents, int64(l.got))
}

// idles says whether the last wait has brought nothing that anybody else did.
func (l *loop) idles() bool {
	return l.got == 0 || l.got == 1 && (l.events[0].Fd == wakeID || l.events[0].Fd == probeID)
}

func (l *loop) busy() bool {
	return len(l.ready) > 0 || len(l.undialled) > 0 || l.backlog.Len() > 0 || l.box.waiting.Load() || l.wheel.Pending()
}

// publish tells the clock when the loop must wake up; false when that is now.
func (l *loop) publish() bool {
	at, ok := l.wheel.Next()
	if !ok {
		return true
	}
	if at <= l.now {
		return false
	}
	if int64(at) < l.due.Load() {
		l.driver.clock.publish(&l.due, int64(at))
	}
	return true
}

// end aborts what is open and closes the files.
func (l *loop) end() {
	for _, h := range l.box.close() {
		h.drop()
	}
	for _, h := range l.accepted[l.acceptAt:] {
		h.drop()
	}
	for _, page := range l.table.pages {
		for _, c := range page {
			if c != nil {
				l.tellQuietly(c, wire.ErrClosed)
			}
		}
	}
	// What failed to dial, and what has not begun to, is in no table.
	strays := append(l.ready, l.attended[l.attendAt:]...)
	for _, u := range l.undialled {
		strays = append(strays, u.conn)
	}
	for _, c := range strays {
		if c.phase == open {
			l.tellQuietly(c, wire.ErrClosed)
		}
	}
	for _, page := range l.packets.pages {
		for _, s := range page {
			if s != nil {
				s.release()
			}
		}
	}
	l.pipes.close()
	l.count.show()
	l.closeFiles()
}

// closeFiles waits for those who are waking the loop just now.
func (l *loop) closeFiles() {
	l.box.gone.Store(true)
	for l.box.wakers.Load() != 0 {
		runtime.Gosched()
	}
	closeSocket(l.box.eventfd)
	l.probes.close()
	closeSocket(l.epoll)
	if l.home != 0 {
		closeSocket(l.home)
	}
}
