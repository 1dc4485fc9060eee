package loop

import (
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// How long events wait for their turn is seen by one more event: a loop makes an
// eventfd readable at the beginning of a turn, and the kernel's list of what is
// ready is in order, so it comes back behind everything that is ready now. Three
// system calls now and then tell exactly what no clock in the loop could: how
// many are still in the kernel.

const (
	// soundings are made between two beats, at most.
	soundings = 10
	// CalmBeat is the time between two beats, at least, where nobody has asked
	// for more.
	CalmBeat = 250 * time.Millisecond
	// longWait: an event that has waited for as long is told at once.
	longWait = 25 * time.Millisecond
)

// probe is how a loop sees how long its events wait.
type probe struct {
	fd  int32
	due time.Duration // when the next may be made
	// sent is when the one on its way was, plus one; 0: there is none. least is
	// the shortest wait since somebody asked, plus one; 0: nothing came back.
	sent, least atomic.Int64
	last        time.Duration // told last by Delays, whose caller's it is
	used        bool          // fd is open
}

// open makes the eventfd.
func (p *probe) open(epoll int32) error {
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return fmt.Errorf("eventfd: %w", err)
	}
	p.fd, p.used = int32(fd), true
	if e := epollControl(epoll, unix.EPOLL_CTL_ADD, p.fd, unix.EPOLLIN|unix.EPOLLET, probeID, 0); e != 0 {
		return fmt.Errorf("epoll_ctl: %w", e)
	}
	return nil
}

func (p *probe) close() {
	if p.used {
		closeSocket(p.fd)
	}
}

// sound begins a probe, and tells that there is something to do.
func (l *loop) sound() {
	l.refresh()
	every := time.Duration(l.driver.beat.every.Load())
	l.probe.due = l.now + every/soundings
	if l.probe.sent.Load() == 0 {
		l.probe.sent.Store(int64(l.now) + 1)
		signalEventfd(l.probe.fd)
	}
	l.driver.beat.at(l.now, every)
}

// probed notes the wait of the probe that came back.
func (l *loop) probed() {
	p := &l.probe
	waited := int64(l.now) + 1 - p.sent.Load()
	p.sent.Store(0)
	if least := p.least.Load(); least == 0 || waited+1 < least {
		p.least.Store(waited + 1) // who asks in this moment sees it the next time
	}
	if waited >= int64(longWait) {
		l.driver.beat.tell()
	}
}

// Delays adds to all, by loop, the shortest time that an event has waited for
// its turn since the last call; 0 where nothing was to be done. Of a loop that has
// let none come back it is how long the one on its way waits already, or what was
// told last where that is more. Any goroutine, one at a time.
func (d *Driver) Delays(all []time.Duration) []time.Duration {
	for _, l := range d.loops {
		wait := time.Duration(0)
		if least := l.probe.least.Swap(0); least > 0 {
			wait = time.Duration(least - 1)
		} else if sent := l.probe.sent.Load(); sent > 0 {
			// It has only begun to wait; how long is what the one before says.
			wait = max(time.Since(d.clock.base)-time.Duration(sent-1), l.probe.last)
		}
		l.probe.last = wait
		all = append(all, wait)
	}
	return all
}

// beat tells somebody beside the loops, now and then, that loops have something
// to do. Idle loops are silent.
type beat struct {
	every atomic.Int64 // nanoseconds, at least
	next  atomic.Int64 // of the loops' clock
	told  chan struct{}
}

func (b *beat) init() {
	b.told = make(chan struct{}, 1)
	b.every.Store(int64(CalmBeat))
	b.next.Store(math.MinInt64)
}

// at beats, unless another loop has.
func (b *beat) at(now, every time.Duration) {
	next := b.next.Load()
	if int64(now) >= next && b.next.CompareAndSwap(next, int64(now+every)) {
		b.tell()
	}
}

func (b *beat) tell() {
	select {
	case b.told <- struct{}{}:
	default: // it is about to look
	}
}

// Beats tells that loops have something to do: at most as often as Beat says, and
// at once when an event has waited for long. While nothing is done it is silent.
// It is for one receiver.
func (d *Driver) Beats() <-chan struct{} { return d.beat.told }

// Beat sets the time between two beats; CalmBeat is the default. Between two of
// them a loop looks ten times how long its events wait. Any goroutine.
func (d *Driver) Beat(every time.Duration) {
	every = max(every, time.Millisecond)
	if d.beat.every.Swap(int64(every)) != int64(every) {
		d.beat.next.Store(math.MinInt64)
	}
}

// Pace is how listening sockets accept.
type Pace int32

const (
	// PaceAll: four connections a turn, as long as there are some.
	PaceAll Pace = iota
	// PaceTurn: one a turn. Turns are long when much is to be done, so what is open
	// goes first in that proportion.
	PaceTurn
	// PaceRest: one in a tenth of a second. The others wait in the kernel.
	PaceRest
)

// SetPace says how all listening sockets accept from now on. Any goroutine.
func (d *Driver) SetPace(p Pace) { d.pace.Store(int32(p)) }
