package http3

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/naru-mesh/naru/wire"
)

// incoming is the client's direction of a stream of QUIC.
type incoming interface {
	Peek(b []byte) (int, error)
	Read(b []byte) (int, error)
	CancelRead(quic.StreamErrorCode)
	ReleaseStreamCredit()
}

// outgoing is ours.
type outgoing interface {
	Write(b []byte) (int, error)
	TryWriteAll(b []byte) error
	SetWriteDeadline(time.Time) error
	Close() error
	CancelWrite(quic.StreamErrorCode)
	SetPriority(urgency int8, incremental bool)
	Context() context.Context
}

// Bounds of what is between the goroutines and the loop.
const (
	chunkBytes = 16 << 10
	mostIn     = 64 << 10 // read and not taken by the loop
	partBytes  = 32 << 10 // given to QUIC at once
	atOnce     = 8 << 10  // small enough to leave it to QUIC without waiting
	// Who writes is told when lowOut waits again. Once crowded bytes wait in all
	// streams of a connection together, each gets no more than that.
	lowOut  = 16 << 10
	crowded = 1 << 20
)

// chunk is what one read gave.
type chunk struct {
	n int
	b [chunkBytes]byte
}

var chunks = sync.Pool{New: func() any { return new(chunk) }}

// pipe is a stream of QUIC: goroutines on one side, the loop on the other.
type pipe struct {
	link *link
	num  uint64
	in   incoming // nil where there is no such direction
	out  outgoing
	open func(outlet) inlet // called at the first turn

	// The loop's own.
	hears  inlet
	rest   []*chunk
	paused bool
	deaf   bool // nobody wants what comes
	over   bool // released
	eof    bool // the end was told
	late   bool // its turn is put off

	room chan struct{} // of one place: the reader may go on

	mu       sync.Mutex
	came     []*chunk
	bytes    int   // in came and rest
	full     bool  // the reader waits
	inEnd    error // what ended the client's direction
	waits    []byte
	spare    []byte
	flight   int  // with the writer
	writing  bool // it runs
	end      bool // comes after waits
	cut      bool // reset
	high     bool // told to be drained when it is
	drained  bool // to be told, as what follows
	sent     bool
	stuck    bool
	stopped  bool
	roused   bool
	listed   bool // in link.ready
	unlisten func() bool
}

var _ outlet = (*pipe)(nil)

func newPipe(l *link, num uint64, in incoming, out outgoing, open func(outlet) inlet) *pipe {
	return &pipe{link: l, num: num, in: in, out: out, open: open, room: make(chan struct{}, 1)}
}

// start begins to listen to the client.
func (p *pipe) start() {
	p.note(func() {
		if p.out != nil {
			p.unlisten = context.AfterFunc(p.out.Context(), p.outDone)
		}
	})
	if p.in != nil {
		p.link.begin(p.read)
	}
}

// outDone: our direction has ended, perhaps because the client wants it to.
func (p *pipe) outDone() {
	var e *quic.StreamError
	if errors.As(context.Cause(p.out.Context()), &e) && e.Remote {
		p.note(func() { p.stopped = true })
	}
}

// note changes what the loop is to be told, and has it told.
func (p *pipe) note(change func()) {
	p.mu.Lock()
	change()
	p.mu.Unlock()
	p.link.notify(p)
}

// read is the goroutine that reads. It ends with the client's direction. A
// buffer is taken only once there is something to put in it.
func (p *pipe) read() {
	var one [1]byte
	for first := true; ; first = false {
		if !first {
			_, _ = p.in.Peek(one[:]) // Read tells what is wrong
		}
		c := chunks.Get().(*chunk)
		var err error
		c.n, err = p.in.Read(c.b[:])
		wait := false
		p.note(func() {
			if c.n > 0 {
				p.came = append(p.came, c)
				p.bytes += c.n
			} else {
				chunks.Put(c)
			}
			p.inEnd = err
			wait = err == nil && p.bytes >= mostIn
			p.full = wait
		})
		if err != nil {
			return
		}
		if wait {
			select {
			case <-p.room:
			case <-p.link.done:
				return
			}
		}
	}
}

// putOff puts the turn off where what there is to tell matters less than what else
// the loop has to do. A client that has left wants nothing more: that is told.
func (p *pipe) putOff(to wire.Sorter) bool {
	rank := wire.RankOf(p.hears) // of a new stream too: what it is about nobody knows
	if rank != wire.RankFirst {
		p.mu.Lock()
		if p.stopped || p.stuck || p.inEnd != nil && p.inEnd != io.EOF {
			rank = wire.RankFirst
		}
		p.mu.Unlock()
	}
	switch {
	case rank == wire.RankFirst:
		return false
	case p.late: // it waits already
		return true
	}
	p.late = true
	to.PutOff(rank, p)
	return true
}

// OnTurn implements wire.Latecomer.
func (p *pipe) OnTurn() {
	if p.late {
		p.turn()
	}
}

// turn tells what there is, on the loop.
func (p *pipe) turn() {
	p.late = false
	p.mu.Lock()
	p.rest = append(p.rest, p.came...)
	clear(p.came)
	p.came = p.came[:0]
	end := p.inEnd
	drained, sent, stuck, stopped, roused := p.drained, p.sent, p.stuck, p.stopped, p.roused
	p.drained, p.sent, p.stuck, p.stopped, p.roused = false, false, false, false, false
	p.mu.Unlock()
	if p.hears == nil {
		p.hears = p.open(p)
	}
	if p.over {
		p.discard()
		return
	}
	if end != nil && end != io.EOF && !p.eof {
		p.discard() // a reset may overtake what came before
		p.eof = true
		if !p.deaf {
			p.hears.onReset()
		}
	}
	for len(p.rest) > 0 && !p.paused && !p.deaf {
		c := p.rest[0]
		p.rest = p.rest[1:]
		p.eof = end == io.EOF && len(p.rest) == 0
		n := c.n
		p.hears.onData(c.b[:n], p.eof)
		chunks.Put(c)
		p.taken(n)
	}
	if p.deaf {
		p.discard()
	}
	if end == io.EOF && !p.eof && !p.paused && len(p.rest) == 0 && !p.deaf {
		p.eof = true
		p.hears.onData(nil, true)
	}
	if stuck {
		p.hears.onStuck()
	}
	if stopped {
		p.hears.onStopped()
	}
	if drained {
		p.hears.onDrained()
	}
	if sent {
		p.hears.onSent()
	}
	if roused {
		p.hears.onRoused()
	}
}

// taken lets the reader go on when there is room.
func (p *pipe) taken(n int) {
	p.mu.Lock()
	p.bytes -= n
	wake := p.full && p.bytes <= mostIn/2
	if wake {
		p.full = false
	}
	p.mu.Unlock()
	if wake {
		p.room <- struct{}{}
	}
}

// discard throws away what was read.
func (p *pipe) discard() {
	for _, c := range p.rest {
		n := c.n
		chunks.Put(c)
		p.taken(n)
	}
	p.rest = nil
}

func (p *pipe) id() uint64 { return p.num }

// write leaves what is small and complete to QUIC at once, and the rest to a
// goroutine, which lives while something waits.
func (p *pipe) write(a, b []byte, end bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cut || p.end {
		return
	}
	p.waits = append(append(p.waits, a...), b...)
	p.end = end
	if !p.writing && end && len(p.waits) <= atOnce && p.out.TryWriteAll(p.waits) == nil {
		p.waits = nil
		p.close()
		return
	}
	if !p.writing {
		p.writing = true
		p.link.begin(p.send)
	}
	p.link.waiting.Add(int64(len(a) + len(b)))
	p.high = p.high || p.flight+len(p.waits) > lowOut
}

// close ends our direction, and has that told. It is called with mu locked.
func (p *pipe) close() {
	_ = p.out.Close() // what can be wrong was told, or is told to the reader
	p.sent = true
	p.link.notify(p)
}

// send is the goroutine that writes.
func (p *pipe) send() {
	for {
		p.mu.Lock()
		if p.cut || len(p.waits) == 0 {
			p.writing = false
			p.drop()
			if p.end && !p.cut {
				p.close()
			}
			p.mu.Unlock()
			return
		}
		b := p.waits
		p.waits, p.spare = p.spare[:0], nil
		p.flight = len(b)
		p.mu.Unlock()
		err := p.push(b)
		p.mu.Lock()
		p.link.waiting.Add(int64(-p.flight))
		p.flight, p.spare = 0, b[:0]
		if err != nil {
			p.writing = false
			p.drop()
			p.failed(err)
			p.mu.Unlock()
			return
		}
		p.mu.Unlock()
	}
}

// push gives b to QUIC.
func (p *pipe) push(b []byte) error {
	for len(b) > 0 {
		if w := p.link.patience; w >= 0 {
			_ = p.out.SetWriteDeadline(time.Now().Add(w))
		}
		n, err := p.out.Write(b[:min(len(b), partBytes)])
		b = b[n:]
		if err != nil && (n == 0 || !errors.Is(err, os.ErrDeadlineExceeded)) {
			return err
		}
		p.mu.Lock()
		p.flight -= n
		p.link.waiting.Add(int64(-n))
		if p.high && p.flight+len(p.waits) <= lowOut {
			p.high, p.drained = false, true
			p.link.notify(p)
		}
		p.mu.Unlock()
	}
	return nil
}

// failed: what was to be sent never will be. That the client stops it, and
// that the connection is gone, is told by others. mu is locked.
func (p *pipe) failed(err error) {
	if errors.Is(err, os.ErrDeadlineExceeded) && !p.cut {
		p.cut, p.stuck = true, true
		p.out.CancelWrite(quic.StreamErrorCode(codeCancelled))
		p.link.notify(p)
	}
}

// drop forgets what waits, which nobody will send. mu is locked.
func (p *pipe) drop() {
	p.link.waiting.Add(int64(-len(p.waits)))
	p.waits = nil
}

func (p *pipe) buffered() int {
	p.mu.Lock()
	n := p.flight + len(p.waits)
	p.mu.Unlock()
	if n > lowOut && p.link.waiting.Load() > crowded {
		return max(n, wire.HighWater+1)
	}
	return n
}

func (p *pipe) reset(with code) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.out != nil && !p.cut {
		p.cut = true
		p.drop()
		p.out.CancelWrite(quic.StreamErrorCode(with))
	}
}

func (p *pipe) stop(with code) {
	if !p.deaf {
		p.deaf = true
		p.in.CancelRead(quic.StreamErrorCode(with))
		p.link.notify(p)
	}
}

func (p *pipe) pause() { p.paused = true }

func (p *pipe) resume() {
	if p.paused {
		p.paused = false
		p.link.notify(p)
	}
}

func (p *pipe) rouse() { p.note(func() { p.roused = true }) }

func (p *pipe) prioritize(urgency int8, incremental bool) { p.out.SetPriority(urgency, incremental) }

func (p *pipe) release() {
	if !p.over {
		p.over = true
		p.mu.Lock()
		unlisten := p.unlisten
		p.mu.Unlock()
		if unlisten != nil {
			unlisten()
		}
		if p.in != nil {
			p.in.ReleaseStreamCredit()
		}
	}
}
