package export

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/naru-mesh/naru/observe"
)

// AccessLogOptions say what is written and where to.
type AccessLogOptions struct {
	// Format is "json" (the default) or "text".
	Format string
	// File is a path, opened for appending and made if need be (mode 0640);
	// "" is standard output.
	File string
	// Loops is how many loops write, numbered from 0.
	Loops int
	// Flush is how long a line may wait for others. Default 100 ms.
	Flush time.Duration
	// Buffer is how many bytes a loop may be ahead of the file; what does not
	// fit is dropped and counted. Default 1 MiB, of which only what is used is
	// resident.
	Buffer int
	// Output takes the place of File, for tests.
	Output io.Writer
}

// AccessLog writes one line for each finished exchange.
type AccessLog struct {
	options AccessLogOptions
	loops   []logLoop

	state atomic.Int32  // asleep, gathering or urgent
	wake  chan struct{} // told once at each step up of state
	done  chan struct{}
	close chan struct{}
	once  sync.Once

	mu     sync.Mutex // guards what follows: the writer against Reopen
	out    io.Writer
	file   *os.File // to be closed; nil for standard output
	inside bool     // what was written last ended inside a line
	halved bool     // and the rest of that line is lost

	written, failed atomic.Uint64 // lines
}

// The writer's state. Loops only look at it, but for the few times that it
// steps up, so that a busy log costs them a load.
const (
	asleep    = iota // nothing is there: no timer runs, no CPU is used
	gathering        // lines wait for Flush to pass
	urgent           // a ring is half full
)

// logLoop is what one loop writes to.
type logLoop struct {
	ring    ring
	lines   lines
	dropped observe.Counter
	_       [64]byte
}

// NewAccessLog opens the file and starts the writer, which Close ends.
func NewAccessLog(o AccessLogOptions) (*AccessLog, error) {
	switch o.Format {
	case "", "json", "text":
	default:
		return nil, fmt.Errorf("access log: format %q is not json or text", o.Format)
	}
	o.Loops = max(o.Loops, 1)
	o.Flush = cmp.Or(o.Flush, 100*time.Millisecond)
	o.Buffer = cmp.Or(o.Buffer, 1<<20)
	a := &AccessLog{
		options: o,
		loops:   make([]logLoop, o.Loops),
		wake:    make(chan struct{}, 1),
		done:    make(chan struct{}),
		close:   make(chan struct{}),
	}
	for i := range a.loops {
		a.loops[i].ring.data = make([]byte, o.Buffer)
		a.loops[i].lines.text = o.Format == "text"
	}
	a.out = cmp.Or[io.Writer](o.Output, os.Stdout)
	if err := a.Reopen(); err != nil {
		return nil, err
	}
	go a.write()
	return a, nil
}

// Reopen opens the file anew, after it was moved away (SIGHUP). On failure the
// old one is written on.
func (a *AccessLog) Reopen() error {
	if a.options.File == "" || a.options.Output != nil {
		return nil
	}
	// Opening a pipe would otherwise wait for whoever reads from it, and with it
	// the configuration that names it.
	f, err := os.OpenFile(a.options.File, os.O_APPEND|os.O_CREATE|os.O_WRONLY|syscall.O_NONBLOCK, 0o640)
	if err != nil {
		return fmt.Errorf("access log: %w", err)
	}
	a.mu.Lock()
	old := a.file
	a.out, a.file, a.inside, a.halved = f, f, false, false
	a.mu.Unlock()
	if old != nil {
		return old.Close()
	}
	return nil
}

// Write logs r, from r's loop. It never waits.
func (a *AccessLog) Write(r *observe.Record) {
	l := &a.loops[0]
	if uint(r.Loop) < uint(len(a.loops)) {
		l = &a.loops[r.Loop]
	}
	filled, ok := l.ring.put(l.lines.line(r))
	if !ok {
		l.dropped.Add(1)
	}
	want := int32(gathering)
	if filled > len(l.ring.data)/2 {
		want = urgent
	}
	// The channel is used at most twice in each Flush, not for each line.
	if s := a.state.Load(); s < want && a.state.CompareAndSwap(s, want) {
		select {
		case a.wake <- struct{}{}:
		default:
		}
	}
}

// write is the writer: it sleeps until there is a line, waits for more, and
// writes all that is there.
func (a *AccessLog) write() {
	defer close(a.done)
	timer := time.NewTimer(a.options.Flush)
	timer.Stop()
	for closing := false; !closing; {
		select {
		case <-a.wake:
		case <-a.close:
			closing = true
		}
		if !closing && a.state.Load() != urgent {
			timer.Reset(a.options.Flush)
			select {
			case <-timer.C:
			case <-a.wake: // a ring is half full
			case <-a.close:
				closing = true
			}
			timer.Stop()
		}
		// First asleep, then drain: a line that comes meanwhile wakes again.
		a.state.Store(asleep)
		for i := range a.loops {
			a.drain(&a.loops[i].ring)
		}
	}
}

func (a *AccessLog) drain(r *ring) {
	first, second := r.peek()
	for _, part := range [...][]byte{first, second} {
		if len(part) > 0 {
			a.send(part)
			r.take(len(part))
		}
	}
}

// send writes part, or counts its lines as failed: keeping them would only
// lose others.
func (a *AccessLog) send(part []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.halved {
		if _, err := a.out.Write([]byte{'\n'}); err == nil {
			a.inside, a.halved = false, false
		}
	}
	n, err := a.out.Write(part)
	n = min(max(n, 0), len(part))
	a.written.Add(uint64(bytes.Count(part[:n], []byte{'\n'})))
	if n > 0 {
		a.inside = part[n-1] != '\n'
	}
	if err != nil {
		a.failed.Add(uint64(bytes.Count(part[n:], []byte{'\n'})))
		a.halved = a.inside
	}
}

// Close writes what is there and closes the file. Nobody may Write after it.
func (a *AccessLog) Close() error {
	a.once.Do(func() { close(a.close) })
	<-a.done
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.file == nil {
		return nil
	}
	f := a.file
	a.file = nil
	return f.Close()
}

// Lines gives how many lines were written, how many were dropped because the
// file was too slow, and how many because it could not be written to.
func (a *AccessLog) Lines() (written, dropped, failed uint64) {
	for i := range a.loops {
		dropped += a.loops[i].dropped.Load()
	}
	return a.written.Load(), dropped, a.failed.Load()
}

// Observe adds the log's figures to g.
func (a *AccessLog) Observe(g *observe.Registry) {
	g.Func("naru_access_log_lines_total", "Access log lines written.", observe.KindCounter, nil, func(emit func(float64, ...string)) {
		written, _, _ := a.Lines()
		emit(float64(written))
	})
	g.Func("naru_access_log_dropped_total", "Access log lines lost: slow, the file could not keep up; failed, it could not be written to.",
		observe.KindCounter, []string{"cause"}, func(emit func(float64, ...string)) {
			_, dropped, failed := a.Lines()
			emit(float64(dropped), "slow")
			emit(float64(failed), "failed")
		})
}
