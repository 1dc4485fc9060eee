package loop

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/naru-mesh/naru/wire"
	"golang.org/x/sys/unix"
)

// Options of a Driver. The zero value is good.
type Options struct {
	// Loops is how many; 0 is one for each CPU.
	Loops int
	// ReadBuffer is the size of each loop's read buffer in bytes, at least
	// 4096; 0 is 256 KiB. It is the largest piece that OnData is given: large
	// bodies are cheaper with large pieces (420, 324, 294 µs a MiB with 64 KiB,
	// 256 KiB, 1 MiB), small messages do not care.
	ReadBuffer int
	// Mark is the SO_MARK of dialled connections, for firewalls and routing
	// rules that must know them; 0 is none. It needs CAP_NET_ADMIN and costs a
	// system call a connection.
	Mark uint32
	// Log hears of panics and of failing accepts; nil is slog.Default.
	Log *slog.Logger
}

// Driver is a running set of loops. It implements wire.Driver.
type Driver struct {
	loops   []*loop
	log     *slog.Logger
	clock   *clock
	running sync.WaitGroup
	raised  int  // by how much GOMAXPROCS was raised
	hold    bool // loops may hold their P while they wait
	mark    uint32
	beat    beat
	pace    atomic.Int32 // a Pace
	waits   atomic.Pointer[func(loop int, wait time.Duration)]

	mu        sync.Mutex
	listening map[*listening]struct{}
	closed    bool
	ended     chan struct{}
}

var (
	_ wire.Driver = (*Driver)(nil)
	_ wire.Loop   = (*loop)(nil)

	_ wire.MarkedDialer    = (*loop)(nil)
	_ wire.NamespaceDialer = (*loop)(nil)
	_ wire.Conn            = (*conn)(nil)
	_ wire.Listening       = (*listening)(nil)
)

// New starts the loops. For the process it raises GOMAXPROCS to more than the
// number of loops, and the limit of open files as far as is allowed.
func New(opt Options) (*Driver, error) {
	if opt.Loops == 0 {
		opt.Loops = runtime.NumCPU()
	}
	if opt.Loops < 0 {
		return nil, fmt.Errorf("%d loops: want at least 1", opt.Loops)
	}
	if opt.ReadBuffer == 0 {
		opt.ReadBuffer = 256 << 10
	}
	if opt.ReadBuffer < 4096 {
		return nil, fmt.Errorf("read buffer of %d bytes: want at least 4096", opt.ReadBuffer)
	}
	if opt.Log == nil {
		opt.Log = slog.Default()
	}
	d := &Driver{log: opt.Log, mark: opt.Mark, clock: newClock(time.Now()), listening: map[*listening]struct{}{}, ended: make(chan struct{})}
	d.hold = mayHold(os.Getenv("GODEBUG"))
	d.beat.init()
	raiseFileLimit()
	for i := range opt.Loops {
		l, err := newLoop(d, i, opt.ReadBuffer)
		if err != nil {
			for _, l := range d.loops {
				l.closeFiles()
			}
			return nil, fmt.Errorf("event loop %d: %w", i, err)
		}
		d.loops = append(d.loops, l)
		d.clock.loops = append(d.clock.loops, sleeper{due: &l.due, wake: l.box.wake})
	}
	d.raised = raiseProcs(opt.Loops)
	go d.clock.run()
	for _, l := range d.loops {
		d.running.Add(1)
		go l.run()
	}
	return d, nil
}

// Loops gives all loops.
func (d *Driver) Loops() []wire.Loop {
	all := make([]wire.Loop, len(d.loops))
	for i, l := range d.loops {
		all[i] = l
	}
	return all
}

// Close aborts every connection (its handler is told wire.ErrClosed), ends
// every loop and waits for them. It must not be called on a loop.
func (d *Driver) Close() {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		<-d.ended
		return
	}
	d.closed = true
	open := d.listening
	d.listening = nil
	d.mu.Unlock()
	for s := range open {
		s.Close()
	}
	for _, l := range d.loops {
		l.Post(func() { l.stopping = true })
	}
	d.running.Wait()
	close(d.clock.stop)
	<-d.clock.done
	lowerProcs(d.raised)
	close(d.ended)
}

// errDriverClosed is what Listen says after Close.
var errDriverClosed = errors.New("the driver is closed")

// mayHold says whether the runtime interrupts a thread that stays in the
// kernel. Where asynchronous preemption is off (debuggers switch it off), a
// loop that held its P would stop a collection for ever.
func mayHold(godebug string) bool { return !strings.Contains(godebug, "asyncpreemptoff=1") }

// procs guards runtime.GOMAXPROCS between reading and setting it.
var procs sync.Mutex

// raiseProcs makes room for loops that hold a P each while they wait: two more
// must be left, for the clock and for everything else. A value above the
// number of CPUs says that another driver has made room for itself only.
func raiseProcs(loops int) (by int) {
	procs.Lock()
	defer procs.Unlock()
	now := runtime.GOMAXPROCS(0)
	want := max(now, loops+2)
	if now > runtime.NumCPU() {
		want = now + loops
	}
	if want > now {
		runtime.GOMAXPROCS(want)
	}
	return want - now
}

func lowerProcs(by int) {
	if by == 0 {
		return
	}
	procs.Lock()
	defer procs.Unlock()
	runtime.GOMAXPROCS(max(1, runtime.GOMAXPROCS(0)-by))
}

// raiseFileLimit is an attempt: without it there are fewer connections.
func raiseFileLimit() {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) == nil && limit.Cur < limit.Max {
		limit.Cur = limit.Max
		_ = unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)
	}
}
