package export

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/naru-mesh/naru/observe"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sink keeps what is written; while held it makes writers wait.
type sink struct {
	mu    sync.Mutex
	b     bytes.Buffer
	write int
	fail  func(b []byte) (int, error)
}

func (s *sink) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.write++
	if s.fail != nil {
		n, err := s.fail(b)
		s.b.Write(b[:n])
		return n, err
	}
	return s.b.Write(b)
}

func (s *sink) writes() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.write
}

func (s *sink) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func record(loop, n int) *observe.Record {
	r := sample()
	r.Loop, r.Path = loop, fmt.Appendf(nil, "/%d/%d", loop, n)
	return r
}

func TestLogWritesAfterFlush(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		out := &sink{}
		a, err := NewAccessLog(AccessLogOptions{Loops: 2, Output: out})
		if err != nil {
			t.Fatal(err)
		}
		for round := range 3 {
			before := out.writes()
			a.Write(record(0, round))
			a.Write(record(1, round))
			a.Write(record(7, round)) // a loop that is not known counts as the first
			synctest.Wait()
			if out.writes() != before {
				t.Fatal("written before the time to flush")
			}
			<-time.After(100 * time.Millisecond) // of the bubble: takes no time
			synctest.Wait()
			if out.writes() != before+2 {
				t.Fatalf("%d writes in a flush of two loops", out.writes()-before)
			}
			<-time.After(time.Hour)
			if out.writes() != before+2 {
				t.Fatal("written without lines")
			}
		}
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(out.String(), "\n"); n != 9 {
			t.Errorf("%d lines", n)
		}
	})
}

func TestLogWritesAtOnceWhenHalfFull(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		out := &sink{}
		a, err := NewAccessLog(AccessLogOptions{Output: out, Flush: time.Hour, Buffer: 4 << 10})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		for i := range 500 {
			a.Write(record(0, i))
			synctest.Wait()
		}
		if out.writes() == 0 || time.Since(began) > 0 {
			t.Error("nothing was written before the hour had passed")
		}
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		if written, dropped, failed := a.Lines(); written != 500 || dropped+failed != 0 {
			t.Errorf("%d lines written, %d dropped, %d failed", written, dropped, failed)
		}
		// Lines stay whole where they go round the end of the ring.
		for i, line := range strings.Split(strings.TrimSpace(out.String()), "\n") {
			if !strings.Contains(line, fmt.Sprintf(`"path":"/0/%d"`, i)) || !strings.HasSuffix(line, "}") {
				t.Fatalf("line %d is %s", i, line)
			}
		}
	})
}

func TestSlowFileCostsLinesAndNotTime(t *testing.T) {
	t.Parallel()
	out := &sink{}
	a, err := NewAccessLog(AccessLogOptions{Output: out, Flush: time.Nanosecond, Buffer: 16 << 10})
	if err != nil {
		t.Fatal(err)
	}
	out.mu.Lock() // the file takes nothing
	const lines = 1000
	for i := range lines {
		a.Write(record(0, i)) // a test that hangs here has found the fault
	}
	_, dropped, _ := a.Lines()
	out.mu.Unlock()
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	written, after, failed := a.Lines()
	if dropped == 0 || written == 0 || written+after != lines || failed != 0 {
		t.Errorf("%d written, %d dropped (%d while the file waited), %d failed", written, after, dropped, failed)
	}
	if n := strings.Count(out.String(), "\n"); uint64(n) != written {
		t.Errorf("%d lines are there, %d were counted", n, written)
	}
}

func TestFailingFileIsCountedAndMended(t *testing.T) {
	t.Parallel()
	full := true
	out := &sink{fail: func(b []byte) (int, error) {
		if full {
			return min(10, len(b)), errors.New("no space left")
		}
		return len(b), nil
	}}
	a, err := NewAccessLog(AccessLogOptions{Output: out, Flush: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	a.Write(record(0, 0))
	a.drain(&a.loops[0].ring) // in the writer's place, which waits for an hour
	full = false
	a.Write(record(0, 1))
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(out.String(), "\n")
	if len(lines) != 3 || lines[0] != `{"time":"2` || !strings.Contains(lines[1], `"/0/1"`) {
		t.Errorf("lines %q", lines)
	}
	if written, _, failed := a.Lines(); written != 1 || failed != 1 {
		t.Errorf("%d written, %d failed", written, failed)
	}
}

func TestReopenFollowsTheName(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "access.log")
	if err := os.WriteFile(name, []byte("before\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := NewAccessLog(AccessLogOptions{File: name, Format: "text", Flush: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	a.Write(record(0, 1))
	a.drain(&a.loops[0].ring)
	if err := os.Rename(name, name+".1"); err != nil {
		t.Fatal(err)
	}
	if err := a.Reopen(); err != nil {
		t.Fatal(err)
	}
	a.Write(record(0, 2))
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	old, _ := os.ReadFile(name + ".1")
	now, _ := os.ReadFile(name)
	if !strings.HasPrefix(string(old), "before\n203.0.113.9") || !strings.Contains(string(old), "/0/1?") || strings.Contains(string(old), "/0/2?") {
		t.Errorf("the old file holds %q", old)
	}
	if !strings.Contains(string(now), "/0/2?") || strings.Count(string(now), "\n") != 1 {
		t.Errorf("the new file holds %q", now)
	}
}

func TestFailedReopenKeepsTheOldFile(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "logs")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	a, err := NewAccessLog(AccessLogOptions{File: filepath.Join(dir, "access.log")})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(dir, dir+".moved"); err != nil {
		t.Fatal(err)
	}
	if err := a.Reopen(); err == nil || !strings.Contains(err.Error(), "access.log") {
		t.Errorf("reopened a file in a folder that is not there: %v", err)
	}
	a.Write(record(0, 1))
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(filepath.Join(dir+".moved", "access.log")); !bytes.Contains(b, []byte("/0/1")) {
		t.Error("the line is lost")
	}
}

func TestBadLogs(t *testing.T) {
	t.Parallel()
	if _, err := NewAccessLog(AccessLogOptions{Format: "xml"}); err == nil || err.Error() != `access log: format "xml" is not json or text` {
		t.Errorf("xml: %v", err)
	}
	if _, err := NewAccessLog(AccessLogOptions{File: filepath.Join(t.TempDir(), "no", "access.log")}); err == nil {
		t.Error("a log in a folder that is not there was opened")
	}
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := NewAccessLog(AccessLogOptions{File: pipe}); !errors.Is(err, syscall.ENXIO) {
		t.Errorf("a pipe that nobody reads: %v", err)
	}
}

func TestLogIsObserved(t *testing.T) {
	t.Parallel()
	out := &sink{}
	a, err := NewAccessLog(AccessLogOptions{Output: out})
	if err != nil {
		t.Fatal(err)
	}
	a.Write(record(0, 1))
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	g := observe.NewRegistry(1)
	a.Observe(g)
	got := map[string]float64{}
	g.Collect(func(f observe.Family) {
		f.Each(func(s *observe.Sample) { got[f.Name+strings.Join(s.Values, "")] = s.Value })
	})
	if got["naru_access_log_lines_total"] != 1 || len(got) != 3 {
		t.Errorf("observed %v", got)
	}
}

func TestManyLoopsAtOnce(t *testing.T) {
	t.Parallel()
	out := &sink{}
	const loops, lines = 4, 2000
	a, err := NewAccessLog(AccessLogOptions{Output: out, Loops: loops, Flush: time.Microsecond, Buffer: 8 << 20})
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for loop := range loops {
		all.Go(func() {
			for i := range lines {
				a.Write(record(loop, i))
			}
		})
	}
	all.Wait()
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	next := [loops]int{}
	for _, line := range strings.Split(strings.TrimSpace(out.String()), "\n") {
		var loop, i int
		at := strings.Index(line, `"path":"/`)
		if _, err := fmt.Sscanf(line[at:], `"path":"/%d/%d"`, &loop, &i); err != nil || i != next[loop] {
			t.Fatalf("line %s: %v; loop %d was to give %d", line, err, loop, next[loop])
		}
		next[loop]++
	}
	if next != [loops]int{lines, lines, lines, lines} {
		t.Errorf("lines of each loop: %v", next)
	}
}

func TestWriteDoesNotAllocate(t *testing.T) {
	out := &sink{fail: func(b []byte) (int, error) { return len(b), nil }}
	a, err := NewAccessLog(AccessLogOptions{Output: out, Flush: time.Hour, Buffer: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	r := record(0, 1)
	r.Detail = nil
	a.Write(r)
	if n := testing.AllocsPerRun(100, func() { a.Write(r) }); n > 0 {
		t.Errorf("%v allocations a line", n)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
}

func BenchmarkWrite(b *testing.B) {
	out := &sink{fail: func(b []byte) (int, error) { return len(b), nil }}
	a, err := NewAccessLog(AccessLogOptions{Output: out})
	if err != nil {
		b.Fatal(err)
	}
	r := record(0, 1)
	r.Detail = nil
	for b.Loop() {
		a.Write(r)
	}
	a.Close()
}
