package peer

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Starter starts processes on chosen processors.
type Starter struct {
	tasks chan func()
}

// NewStarter makes a Starter. Its thread lives as long as the process.
func NewStarter() *Starter {
	s := &Starter{tasks: make(chan func())}
	go func() {
		runtime.LockOSThread()
		for task := range s.tasks {
			task()
		}
	}()
	return s
}

// Close ends the thread, and thereby every process that still runs.
func (s *Starter) Close() { close(s.tasks) }

// OpenFiles raises the limit of open files as far as it may, for this process
// and its children, and gives it.
func OpenFiles() int {
	const enough = 60000
	var l unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &l) != nil {
		return 1024
	}
	if l.Max < enough && unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: enough, Max: enough}) == nil {
		return enough
	}
	// Setting it also keeps Go from giving children the limit of before.
	want := min(l.Max, enough)
	if unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: want, Max: l.Max}) == nil {
		return int(want)
	}
	return int(l.Cur)
}

// CPUs are processors by number.
type CPUs []int

// Halves gives the processor of the proxies and those of everything else.
// With one processor they are the same.
func Halves() (proxy, rest CPUs) {
	var set unix.CPUSet
	if unix.SchedGetaffinity(0, &set) != nil {
		return nil, nil
	}
	for i := 0; len(rest) < set.Count(); i++ {
		if set.IsSet(i) {
			rest = append(rest, i)
		}
	}
	if len(rest) < 2 {
		return rest, rest
	}
	return rest[:1], rest[1:]
}

// Pin binds all threads of this process that are started from now on by the
// calling thread to cpus.
func (c CPUs) Pin() error {
	if len(c) == 0 {
		return nil
	}
	var set unix.CPUSet
	for _, i := range c {
		set.Set(i)
	}
	return unix.SchedSetaffinity(0, &set)
}

// Start starts cmd on cpus, in a process group of its own. It is sent SIGTERM
// when the benchmark dies.
func (s *Starter) Start(cmd *exec.Cmd, cpus CPUs) error {
	done := make(chan error)
	s.tasks <- func() {
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
		err := cpus.Pin() // a child inherits what the thread that forks has
		if err == nil {
			err = cmd.Start()
		}
		done <- err
	}
	return <-done
}

// stopTime is how long a process may take to end by itself.
const stopTime = 3 * time.Second

// Stop ends a process group: politely, then by force.
func Stop(cmd *exec.Cmd) {
	if cmd == nil || cmd.Process == nil {
		return
	}
	gone := make(chan struct{})
	go func() { _ = cmd.Wait(); close(gone) }()
	_ = syscall.Kill(cmd.Process.Pid, syscall.SIGTERM)
	select {
	case <-gone:
	case <-time.After(stopTime):
	}
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	<-gone
}

// tail is the end of what a process wrote, for messages.
type tail struct{ b []byte }

func (t *tail) Write(b []byte) (int, error) {
	t.b = append(t.b, b...)
	if len(t.b) > 8192 {
		t.b = append(t.b[:0], t.b[len(t.b)-4096:]...)
	}
	return len(b), nil
}

// version asks a program for its version, by the first line of its answer.
func version(args ...string) string {
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		return ""
	}
	return string(out)
}

// write writes a file of a configuration.
func write(dir, name, format string, args ...any) (string, error) {
	path := dir + "/" + name
	return path, os.WriteFile(path, fmt.Appendf(nil, format, args...), 0o600)
}
