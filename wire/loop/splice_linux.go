package loop

import (
	"syscall"

	"github.com/naru-mesh/naru/wire"
	"golang.org/x/sys/unix"
)

// Passing on in the kernel takes two system calls for a piece (from the socket
// into a pipe, from the pipe into the other socket) and one to see that there
// is no more; copying takes two and no third, because a short read has drained
// the socket. So small exchanges are copied. The loop cannot know what will
// come, only what came: a wake-up that brought bulkBegins or more is taken for
// the middle of a transfer, and what follows is not looked at until a few
// wake-ups in a row bring less than bulkEnds.
//
// CPU for an answer passed between two loopback connections, µs on the busy
// machine of a build: of 64 KiB 37 copied and 35 passed on, of 256 KiB 75 and
// 36, of 1 MiB 260 and 185 (BenchmarkRelay).
const (
	bulkBegins = 128 << 10
	bulkEnds   = 32 << 10
	bulkGrace  = 4 // wake-ups
	// movesPerTurn bounds how long a connection keeps the others waiting.
	movesPerTurn = 4
	// moveMost is taken at once: as much as may wait for a slow receiver, in
	// the kernel as in user space.
	moveMost = wire.HighWater
	// pipesKept is how many empty pipes a loop keeps. One is in use at a time,
	// but for those whose receiver is slow.
	pipesKept = 32
)

// relay is what a connection has to do with others whose bytes are passed on.
type relay struct {
	to      *conn               // where input goes; nil: nowhere
	from    *conn               // whose input comes here; nil: nobody's
	handler wire.ForwardHandler // of to
	// pipe holds piped bytes that to's kernel did not take; nil most of the
	// time.
	pipe  *pipe
	piped int
	bulk  bool // pass on rather than copy
	small int  // wake-ups in a row that brought little
}

// saw takes note of how much a read has brought, of the most that it could.
func (r *relay) saw(n, most int) {
	if n >= min(bulkBegins, most) && r.to != nil {
		r.bulk, r.small = true, 0
	}
}

// Forward passes input on to another connection.
func (c *conn) Forward(to wire.Conn, h wire.ForwardHandler) bool {
	d, ok := to.(*conn)
	if !ok || d == c || d.loop != c.loop || c.phase != open || d.phase != open {
		return false
	}
	from, into := c.extra(), d.extra()
	if from.to != nil || into.from != nil {
		return false
	}
	from.to, from.handler = d, h
	into.from = c
	return true
}

// stuck says that input waits in a pipe for a slow receiver.
func (c *conn) stuck() bool { return c.rare != nil && c.rare.pipe != nil }

// forward passes on what has arrived; false when it must be read as usual,
// because order demands it or there is no pipe.
func (c *conn) forward() bool {
	r, l := c.rare, c.loop
	to := r.to
	to.ungather()
	if to.head != nil || to.dialling || to.shut || to.errno != 0 || to.phase != open {
		return false
	}
	total := 0
	for range movesPerTurn {
		p := l.pipes.get()
		if p == nil {
			// No descriptor is left, or no memory that the user may have in pipes.
			r.bulk = false
			c.queue()
			return total > 0
		}
		n, e := splice(c.fd, p.in, moveMost)
		if e != 0 || n == 0 {
			l.pipes.put(p)
			c.unmoved(e, total)
			return true
		}
		total += n
		r.pipe, r.piped = p, n
		c.push()
		r.handler.OnForwarded(n)
		if c.phase != open || c.paused || r.to == nil || r.pipe != nil {
			return true
		}
		if to.ungather(); to.head != nil {
			break
		}
	}
	r.small = 0
	c.queue()
	return true
}

// unmoved: the socket gave nothing more, after total bytes.
func (c *conn) unmoved(e syscall.Errno, total int) {
	switch e {
	case 0:
		c.ended()
	case syscall.EINTR:
		c.queue()
	case syscall.EAGAIN:
		c.rare.settle(total)
		c.readable = false
		if c.errno != 0 {
			c.lost(syscall.Errno(c.errno))
		}
	default:
		c.lost(e)
	}
}

// settle looks at what a wake-up has brought.
func (r *relay) settle(total int) {
	if total >= bulkEnds {
		r.small = 0
		return
	}
	if r.small++; r.small >= bulkGrace {
		r.bulk, r.small = false, 0
	}
}

// push moves what is in the pipe into the receiver's socket, and lets go of the
// pipe when all of it went.
func (c *conn) push() {
	r := c.rare
	for r.piped > 0 {
		n, e := splice(r.pipe.out, r.to.fd, r.piped)
		switch {
		case e == syscall.EINTR:
		case e == syscall.EAGAIN:
			return
		case e != 0 || n == 0:
			// The receiver is broken, and what is in the pipe lost with it.
			to := r.to
			c.spill()
			to.broke(max(e, 1))
			return
		default:
			r.piped -= n
		}
	}
	c.loop.pipes.put(r.pipe)
	r.pipe = nil
}

// spill throws away the pipe with what is in it, and ends the relay.
func (c *conn) spill() {
	r := c.rare
	if r.pipe != nil {
		r.pipe.close()
		r.pipe, r.piped = nil, 0
	}
	if r.to != nil {
		r.to.rare.from = nil
		r.to = nil
	}
}

// fed: the socket of c takes more; what waits for it in a pipe goes on.
func (c *conn) fed() {
	from := c.rare.from
	if from == nil || from.rare.pipe == nil {
		return
	}
	from.push()
	if from.phase == open && from.rare.pipe == nil && from.readable && !from.paused {
		from.queue()
	}
}

// unrelay is called when c has ended.
func (c *conn) unrelay() {
	r := c.rare
	if r == nil {
		return
	}
	c.spill()
	if r.from != nil {
		from := r.from
		from.spill()
		if from.phase == open && from.readable && !from.paused {
			from.queue() // its handler may have a use for what comes
		}
	}
}

// pipe is one of the kernel's; in is written to, out is read from.
type pipe struct {
	in, out int32
	next    *pipe
}

func (p *pipe) close() {
	closeSocket(p.in)
	closeSocket(p.out)
}

// pipes are a loop's store of empty pipes.
type pipes struct {
	free *pipe
	kept int
}

// get gives an empty pipe; nil when the kernel has none.
func (s *pipes) get() *pipe {
	p := s.free
	if p == nil {
		return newPipe()
	}
	s.free, p.next = p.next, nil
	s.kept--
	return p
}

func (s *pipes) put(p *pipe) {
	if s.kept == pipesKept {
		p.close()
		return
	}
	p.next = s.free
	s.free = p
	s.kept++
}

func (s *pipes) close() {
	for p := s.free; p != nil; p = p.next {
		p.close()
	}
	s.free, s.kept = nil, 0
}

func newPipe() *pipe {
	var ends [2]int
	if unix.Pipe2(ends[:], unix.O_NONBLOCK|unix.O_CLOEXEC) != nil {
		return nil
	}
	// As many slots as moveMost can need in full pages. Where the user has no
	// more, the sixteen that a pipe has by itself serve.
	_, _ = unix.FcntlInt(uintptr(ends[1]), unix.F_SETPIPE_SZ, moveMost)
	return &pipe{out: int32(ends[0]), in: int32(ends[1])}
}

func splice(from, to int32, most int) (int, syscall.Errno) {
	n, _, e := syscall.RawSyscall6(unix.SYS_SPLICE, uintptr(from), 0, uintptr(to), 0, uintptr(most),
		unix.SPLICE_F_MOVE|unix.SPLICE_F_NONBLOCK)
	return int(n), e
}
