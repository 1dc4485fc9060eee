package loop

import (
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
	// probesMost are on their way at once: while one waits for long, others tell how
	// long those behind it do.
	probesMost = 16
	// CalmBeat is the time between two beats, at least, where nobody has asked
	// for more.
	CalmBeat = 250 * time.Millisecond
	// longWait: an event that has waited for as long is told at once.
	longWait = 25 * time.Millisecond
)

// probes are how a loop sees how long its events wait. A second eventfd is made
// when the first is on its way, and so on.
type probes struct {
	fds  [probesMost]int32 // of those that are made
	made int
	sent [probesMost]time.Duration
	// Those on their way are sent[first], and as many behind it, around the end.
	first, count int
	due          time.Duration // when the next may be sent
	// oldest is when the first on its way was sent, plus one; 0: there is none. least
	// is the shortest wait since somebody asked, plus one; 0: none came back.
	oldest, least atomic.Int64
}

func (p *probes) close() {
	for _, fd := range p.fds[:p.made] {
		closeSocket(fd)
	}
}

// more makes one more eventfd; false where there can be none.
func (p *probes) more(epoll int32) bool {
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return false
	}
	if epollControl(epoll, unix.EPOLL_CTL_ADD, int32(fd), unix.EPOLLIN|unix.EPOLLET, probeID, int32(p.made)) != 0 {
		closeSocket(int32(fd))
		return false
	}
	p.fds[p.made] = int32(fd)
	p.made++
	return true
}

// sound sends a probe, and tells that there is something to do.
func (l *loop) sound() {
	l.refresh()
	p := &l.probes
	every := time.Duration(l.driver.beat.every.Load())
	p.due = l.now + every/soundings
	l.driver.beat.at(l.now, every)
	i := (p.first + p.count) % probesMost
	if p.count == probesMost || i >= p.made && !p.more(l.epoll) {
		return
	}
	p.sent[i] = l.now
	if p.count++; p.count == 1 {
		p.oldest.Store(int64(l.now) + 1)
	}
	signalEventfd(p.fds[i])
}

// probed notes the wait of the probe that came back: the first of those that were
// on their way.
func (l *loop) probed(i int) {
	p := &l.probes
	waited := l.now - p.sent[i]
	for n := p.count; n > 0; n-- {
		back := p.first
		p.first, p.count = (p.first+1)%probesMost, p.count-1
		if back == i {
			break
		}
	}
	if p.count == 0 {
		p.first = 0 // the others need not be made
		p.oldest.Store(0)
	} else {
		p.oldest.Store(int64(p.sent[p.first]) + 1)
	}
	if least := p.least.Load(); least == 0 || int64(waited)+1 < least {
		p.least.Store(int64(waited) + 1) // who asks in this moment sees it the next time
	}
	if waited >= longWait {
		l.driver.beat.tell()
	}
}

// Delays adds to all, by loop, the shortest time that an event has waited for
// its turn since the last call; 0 where nothing was to be done. Of a loop that has
// let none come back it is how long one waits already. Any goroutine, one at a
// time.
func (d *Driver) Delays(all []time.Duration) []time.Duration {
	for _, l := range d.loops {
		wait := time.Duration(0)
		if least := l.probes.least.Swap(0); least > 0 {
			wait = time.Duration(least - 1)
		} else if oldest := l.probes.oldest.Load(); oldest > 0 {
			wait = max(time.Since(d.clock.base)-time.Duration(oldest-1), 0)
		}
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
	// PaceAll: four connections a turn, as long as there are some. When much is to
	// be done turns are long, so that is not many.
	PaceAll Pace = iota
	// PaceMany: up to 256 a turn, for whoever wants to know what all of them want.
	PaceMany
	// PaceTurn: one a turn, so that what is open goes first.
	PaceTurn
	// PaceRest: one in a tenth of a second. The others wait in the kernel.
	PaceRest
)

// SetPace says how all listening sockets accept from now on. Any goroutine.
func (d *Driver) SetPace(p Pace) { d.pace.Store(int32(p)) }
