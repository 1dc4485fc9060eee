package test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/naru-mesh/naru/test/freeport"
)

// patience bounds every wait; it is never reached when all is well, also where
// others keep the machine busy.
const patience = 90 * time.Second

// gateway is a running naru.
type gateway struct {
	t     testing.TB
	dir   string
	file  string // its configuration
	addr  string // host:port of the first listener
	ports map[string]string
	admin string // URL without a slash at the end
	proc  *exec.Cmd
	out   *transcript // standard output after the greeting
	errs  *transcript
	done  chan struct{} // closed when the process has ended
	files int           // how many files it may have open; 0: as many as we
}

// start runs naru with a configuration in which $LISTEN, $LISTEN2, ... stand
// for free loopback addresses ($PORT, $PORT2 for their ports) and $DIR for the
// configuration's folder. It returns when naru serves.
func start(t testing.TB, config string, args ...string) *gateway {
	t.Helper()
	g := prepare(t, config)
	g.run(append([]string{"run", g.file}, args...)...)
	return g
}

// prepare writes the configuration of a gateway that is not started.
func prepare(t testing.TB, config string) *gateway {
	t.Helper()
	g := &gateway{t: t, dir: t.TempDir(), ports: map[string]string{}}
	for i := 1; i <= 4; i++ {
		n := ""
		if i > 1 {
			n = fmt.Sprint(i)
		}
		port := freeport.Hold(t)
		g.ports["$PORT"+n] = port
		g.ports["$LISTEN"+n] = "127.0.0.1:" + port
	}
	g.file = filepath.Join(g.dir, "naru.yaml")
	g.save(config)
	return g
}

// fill replaces the names in a configuration.
func (g *gateway) fill(config string) string {
	for i := 4; i >= 1; i-- {
		n := ""
		if i > 1 {
			n = fmt.Sprint(i)
		}
		config = strings.ReplaceAll(config, "$LISTEN"+n, g.ports["$LISTEN"+n])
		config = strings.ReplaceAll(config, "$PORT"+n, g.ports["$PORT"+n])
	}
	return strings.ReplaceAll(config, "$DIR", g.dir)
}

// save replaces the configuration as editors do: a new file takes the name. A
// gateway that is starved because others keep the machine busy would refuse
// requests; where overload is not what is tested it does not.
func (g *gateway) save(config string) {
	g.t.Helper()
	config, more, several := strings.Cut(g.fill(config), "\n---\n")
	if strings.Contains("\n"+config, "\nroutes:") && !strings.Contains(config, "overload:") {
		config = strings.TrimSuffix(config, "\n") + "\noverload: off\n"
	}
	if several {
		config += "\n---\n" + more
	}
	g.saveAs(g.file, config)
}

func (g *gateway) saveAs(name, text string) {
	g.t.Helper()
	if err := os.WriteFile(name+".new", []byte(text), 0o600); err != nil {
		g.t.Fatal(err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		g.t.Fatal(err)
	}
}

// run starts the process and waits for its greeting.
func (g *gateway) run(args ...string) {
	t := g.t
	t.Helper()
	g.launch(args...)
	line, ok := g.out.await(func(string) bool { return true })
	if !ok {
		<-g.done
		t.Fatalf("naru ended without a greeting:\n%s", g.errs.text())
	}
	var greeting struct {
		Event, Admin string
		Listening    []string
	}
	if err := json.Unmarshal([]byte(line), &greeting); err != nil || greeting.Event != "running" || len(greeting.Listening) == 0 {
		t.Fatalf("greeting %q: %v", line, err)
	}
	u, err := url.Parse(greeting.Listening[0])
	if err != nil {
		t.Fatal(err)
	}
	g.addr, g.admin = u.Host, greeting.Admin
}

// loops are a gateway's; TestLongFloods, which runs alone, changes that.
var loops = 2

// launch starts the process.
func (g *gateway) launch(args ...string) {
	t := g.t
	t.Helper()
	args = append(args, "--json", "--admin", "127.0.0.1:0", "--loops", strconv.Itoa(loops))
	g.proc = exec.Command(binary, args...)
	if g.files > 0 {
		g.proc = exec.Command("sh", append([]string{"-c", fmt.Sprintf(`ulimit -n %d && exec "$0" "$@"`, g.files), binary}, args...)...)
	}
	// Dies with the tests, whatever ends them.
	g.proc.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	g.proc.Dir = g.dir
	out, err := g.proc.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	errs, err := g.proc.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := g.proc.Start(); err != nil {
		t.Fatal(err)
	}
	g.out, g.errs, g.done = newTranscript(), newTranscript(), make(chan struct{})
	var reading sync.WaitGroup
	reading.Go(func() { g.out.read(out) })
	reading.Go(func() { g.errs.read(errs) })
	done, proc := g.done, g.proc
	go func() {
		reading.Wait()
		_ = proc.Wait() // the status is in ProcessState
		close(done)
	}()
	said := g.errs
	t.Cleanup(func() {
		_ = proc.Process.Kill() // it may have ended
		<-done
		if text := said.text(); strings.Contains(text, "panic") || strings.Contains(text, "DATA RACE") || strings.Contains(text, "goroutine ") {
			t.Errorf("naru speaks of a panic:\n%s", text)
		} else if t.Failed() && testing.Verbose() {
			t.Logf("naru said:\n%s", text)
		}
	})
}

// signal sends sig to the process.
func (g *gateway) signal(sig os.Signal) {
	g.t.Helper()
	if err := g.proc.Process.Signal(sig); err != nil {
		g.t.Fatal(err)
	}
}

// ended waits for the end of the process and gives its exit status.
func (g *gateway) ended() int {
	g.t.Helper()
	select {
	case <-g.done:
	case <-time.After(patience):
		g.t.Fatal("naru does not end")
	}
	return g.proc.ProcessState.ExitCode()
}

// page reads a page of the admin server.
func (g *gateway) page(path string) (status int, body string) {
	g.t.Helper()
	res, err := http.Get(g.admin + path)
	if err != nil {
		g.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

// version is that of the configuration in force.
func (g *gateway) version() string {
	g.t.Helper()
	_, body := g.page("/status")
	var s struct{ Configuration struct{ Version string } }
	if err := json.Unmarshal([]byte(body), &s); err != nil {
		g.t.Fatal(err)
	}
	return s.Configuration.Version
}

// reload saves a different configuration and waits until it is in force.
func (g *gateway) reload(config string) {
	g.t.Helper()
	before := g.version()
	g.save(config)
	eventually(g.t, "the new configuration is in force", func() bool { return g.version() != before })
}

// rss is the resident memory of the process in bytes; 0 with the race detector,
// which keeps a memory of its own.
func (g *gateway) rss() int64 {
	g.t.Helper()
	if raceDetector {
		return 0
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", g.proc.Process.Pid))
	if err != nil {
		g.t.Fatal(err)
	}
	var kib int64
	for line := range strings.Lines(string(text)) {
		if n, _ := fmt.Sscanf(line, "VmRSS: %d kB", &kib); n == 1 {
			return kib << 10
		}
	}
	g.t.Fatal("no VmRSS")
	return 0
}

// transcript is what a process says, line by line.
type transcript struct {
	mu    sync.Mutex
	lines []string
	ended bool
	more  chan struct{} // closed at the next line or at the end
	next  int           // await goes on here
}

func newTranscript() *transcript { return &transcript{more: make(chan struct{})} }

func (s *transcript) read(from io.Reader) {
	in := bufio.NewReader(from)
	for {
		line, err := in.ReadString('\n')
		s.mu.Lock()
		if line != "" {
			s.lines = append(s.lines, line)
		}
		s.ended = err != nil
		close(s.more)
		s.more = make(chan struct{})
		s.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// await gives the next line that want accepts; ok is false where the process
// ended, or nothing came.
func (s *transcript) await(want func(line string) bool) (line string, ok bool) {
	limit := time.After(patience)
	for {
		s.mu.Lock()
		for s.next < len(s.lines) {
			line := s.lines[s.next]
			s.next++
			if want(line) {
				s.mu.Unlock()
				return line, true
			}
		}
		ended, more := s.ended, s.more
		s.mu.Unlock()
		if ended {
			return "", false
		}
		select {
		case <-more:
		case <-limit:
			return "", false
		}
	}
}

func (s *transcript) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.lines, "")
}

// said waits for a line of a transcript that contains all words.
func said(t testing.TB, s *transcript, words ...string) string {
	t.Helper()
	line, ok := s.await(func(line string) bool {
		for _, w := range words {
			if !strings.Contains(line, w) {
				return false
			}
		}
		return true
	})
	if !ok {
		t.Fatalf("nobody said %q, but:\n%s", words, s.text())
	}
	return line
}

// eventually asks again until holds does.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	limit := time.Now().Add(patience)
	tick := time.NewTicker(3 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		if time.Now().After(limit) {
			t.Fatalf("it never happens that %s", what)
		}
		<-tick.C
	}
}

// receive gives the next value of a channel.
func receive[T any](t testing.TB, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatal("nothing comes")
		panic("not reached")
	}
}
