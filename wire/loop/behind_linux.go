package loop

import (
	"time"

	"github.com/naru-mesh/naru/wire"
	"golang.org/x/sys/unix"
)

// A loop falls behind when what it was told to do takes it long: then it sorts. What
// matters most, or may, it does at once (wire.Rank), the rest it puts off, and
// comes to that in short slices, between which it asks the kernel what is new. So a
// request that matters waits for a slice at each of its steps, not for a round of
// everything. A loop that is not behind pays for that with one comparison an event.
const (
	// lag is how long a round may take until the loop is behind. A round is over when
	// the kernel has nothing more to tell.
	lag = 25 * time.Millisecond
	// slice is for how long what was put off is done without a look at what is new.
	slice = 5 * time.Millisecond
	// longSlice bounds what is made of it where what comes first takes much of the
	// time.
	longSlice = 4 * slice
	// tellAgain is how often, at most, a long wait is told beside the loop.
	tellAgain = 50 * time.Millisecond
	// attended stands among a connection's pending events for its place in the ready
	// list. The kernel's own bits that are asked for fit in 16.
	attended = unix.EPOLLPRI
)

// lags says whether the loop is behind, at each event.
func (l *loop) lags() bool { return l.now > l.lapse && l.fell() }

// fell is the rest of lags: a round's first event, or one after too long a time.
func (l *loop) fell() bool {
	if l.drained {
		l.drained, l.lapse = false, l.now+lag
		return false
	}
	if !l.behind {
		l.behind, l.lapse, l.caught = true, 0, l.now
	}
	return true
}

// sort does what has happened to a connection now, or puts it off.
func (l *loop) sort(c *conn, events uint32) {
	rank := c.rank(events)
	events |= uint32(c.pending)
	switch {
	case rank == wire.RankFirst:
		c.pending = 0
		l.happen(c, events)
		return
	case c.pending != 0: // it waits already
	default:
		l.PutOff(rank, c)
	}
	c.pending = uint16(events)
}

// OnTurn implements wire.Latecomer, unless all was done meanwhile.
func (c *conn) OnTurn() {
	events := uint32(c.pending)
	if c.pending = 0; events != 0 && c.phase != closed {
		c.loop.happen(c, events)
	}
}

// Behind and PutOff are wire.Sorter's.
func (l *loop) Behind() bool { return l.lags() }
func (l *loop) PutOff(rank wire.Rank, who wire.Latecomer) {
	if rank == wire.RankBegun {
		l.backlog.Begun(who, l.now)
	} else {
		l.backlog.Fresh(who, l.now)
	}
}

// rank is how soon the loop comes to what has happened to c.
func (c *conn) rank(events uint32) wire.Rank {
	switch {
	case c.dialling || c.phase == closed || events&(unix.EPOLLERR|unix.EPOLLHUP) != 0 || c.errno != 0:
		return wire.RankFirst
	case c.phase != open:
		return wire.RankBegun // the end of its output
	case c.from != nil && events&unix.EPOLLRDHUP != 0:
		return wire.RankFirst // a client that has left wants nothing more
	}
	return wire.RankOf(c.handler)
}

// happen handles what has happened to a connection.
func (l *loop) happen(c *conn, events uint32) {
	l.current = c
	if events&attended != 0 {
		c.attend()
	}
	if events &^= attended; events != 0 && c.phase != closed {
		c.event(events)
	}
	l.current = nil
}

// catchUp does some of what was put off: for half the time that has passed since it
// last did, within bounds, so that what comes first never takes all. While the
// kernel has more to tell that is looked at before. The loop is behind.
func (l *loop) catchUp() {
	l.refresh()
	if l.got == eventsMax && l.now-l.caught < slice {
		return
	}
	l.gathered.on = l.backlog.Len() >= gatherFrom
	until := l.now + min(max(slice, (l.now-l.caught)/2), longSlice)
	for n := 0; l.now < until; l.refresh() {
		who, ok := l.backlog.Next(l.now)
		if !ok {
			break
		}
		if n++; n%gatherEvents == 0 {
			l.scatter()
		}
		who.OnTurn()
	}
	l.gathered.on = false
	l.scatter()
	l.caught = l.now
	wait := l.backlog.Wait(l.now, len(l.undialled))
	if wait >= longWait && l.now-l.told >= tellAgain {
		l.told = l.now
		l.driver.beat.tell()
	}
	l.tellWait(wait)
}

// recovers ends being behind when nothing is left to do. It is called after each
// wait.
func (l *loop) recovers(events int) {
	if events == eventsMax {
		return
	}
	if l.behind {
		if l.backlog.Len() > 0 {
			return
		}
		l.behind = false
		l.tellWait(0)
	}
	l.drained, l.lapse = true, 0
}

// tellWait tells how long what is put off waits, if anybody wants to know.
func (l *loop) tellWait(wait time.Duration) {
	if f := l.driver.waits.Load(); f != nil {
		(*f)(l.index, wait)
	}
}

// OnWait has f be told, on each loop that is behind, how long what comes now and
// matters little will wait, many times a second, and 0 when it is not behind any
// more. f must not wait. Any goroutine.
func (d *Driver) OnWait(f func(loop int, wait time.Duration)) { d.waits.Store(&f) }
