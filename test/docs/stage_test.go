package docs

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/naru-mesh/naru/test/freeport"
)

// patience bounds every wait; it is not reached when all is well.
const patience = 90 * time.Second

// stage is where one page is played.
type stage struct {
	t     *testing.T
	dir   string
	real  map[string]string // port on the page -> port in use
	shown map[string]string // and back
	procs []*process
	meets bool   // it has a socket of its own for naru rollout
	mesh  bool   // it runs workloads, which need sockets and a port of their own
	port  string // of the mesh
}

// process is what a page has started.
type process struct {
	cmd  *exec.Cmd
	out  *output // standard output, and
	errs *output // apart from it, because who comes first is chance
	done chan struct{}
}

// output gathers what a process prints.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// ports that pages use.
var ports = regexp.MustCompile(`\b(3000|8080|8081|8443|900[1-9]|910[1-9]|9901)\b`)

func newStage(t *testing.T, text string) *stage {
	s := &stage{t: t, dir: t.TempDir(), real: map[string]string{}, shown: map[string]string{}}
	for _, port := range append(ports.FindAllString(text, -1), "8080", "9901") {
		if s.real[port] == "" {
			free := freeport.Hold(t)
			s.real[port], s.shown[free] = free, port
		}
	}
	s.meets = strings.Contains(text, "naru rollout")
	if s.mesh = strings.Contains(text, "naru exec"); s.mesh {
		s.port = freeport.Hold(t)
		if err := os.Symlink(filepath.Join(bin, "echo-service"), filepath.Join(s.dir, "echo")); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(s.close)
	return s
}

// toReal puts free ports in place of those on the page, toShown does the
// opposite.
func (s *stage) toReal(text string) string {
	return ports.ReplaceAllStringFunc(text, func(port string) string {
		if free := s.real[port]; free != "" {
			return free
		}
		return port
	})
}

var rollouts = regexp.MustCompile(`naru rollout [a-z]+`)

var digits = regexp.MustCompile(`\b\d{5}\b`)

func (s *stage) toShown(text string) string {
	text = strings.ReplaceAll(text, s.dir+"/", "")
	return digits.ReplaceAllStringFunc(text, func(port string) string {
		if shown := s.shown[port]; shown != "" {
			return shown
		}
		return port
	})
}

// save writes a file the way that editors do.
func (s *stage) save(name, text string) {
	s.t.Helper()
	name = filepath.Join(s.dir, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if strings.Contains(text, "routes:") && !strings.Contains(text, "listen:") {
		// The default port is another one here. At the end, so that the lines
		// of mistakes stay.
		text += "listen: \":8080\"\n"
	}
	if err := os.WriteFile(name+"~", []byte(s.toReal(text)), 0o644); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Rename(name+"~", name); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) command(line string) *exec.Cmd {
	line = s.toReal(line)
	if strings.HasPrefix(line, "naru run") {
		line += " --admin 127.0.0.1:" + s.real["9901"]
		if strings.Contains(line, "--to") && !strings.Contains(line, "--listen") {
			line += " --listen :" + s.real["8080"]
		}
		if s.meets && !s.mesh {
			line += " --control-socket control.sock"
		}
		if s.mesh {
			line += fmt.Sprintf(" --address 127.0.0.1 --mesh-port %s --socket node.sock --control-socket control.sock --capture-scope d%dp%s", s.port, os.Getpid(), s.port)
		}
	}
	line = strings.ReplaceAll(line, "naru exec", "naru exec --socket "+s.dir+"/node.sock")
	line = strings.ReplaceAll(line, "naru status", "naru status --socket "+s.dir+"/control.sock")
	if s.meets {
		line = strings.ReplaceAll(line, "naru explain", "naru explain --socket "+s.dir+"/control.sock")
	}
	line = rollouts.ReplaceAllString(line, "$0 --socket "+s.dir+"/control.sock")
	cmd := exec.Command("bash", "-c", line)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "TERM=dumb", "LC_ALL=C")
	return cmd
}

// start runs a command in the background.
func (s *stage) start(line string) *process {
	s.t.Helper()
	cmd := s.command("exec " + line)
	if strings.HasPrefix(line, "naru run") {
		cmd = s.command(line)
		cmd.Args[2] = "exec " + cmd.Args[2]
	}
	p := &process{cmd: cmd, out: &output{}, errs: &output{}, done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p.out, p.errs
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	go func() {
		cmd.Wait() //nolint:errcheck // how it ended is in its output
		close(p.done)
	}()
	s.procs = append(s.procs, p)
	return p
}

// stop tells a process to end, and waits until it has.
func (p *process) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGINT); err != nil {
		return err
	}
	select {
	case <-p.done:
		return nil
	case <-time.After(patience):
		p.cmd.Process.Kill()
		<-p.done
		return fmt.Errorf("it did not end within %v:\n%s%s", patience, p.out, p.errs)
	}
}

func (s *stage) close() {
	for _, p := range slices.Backward(s.procs) {
		_ = p.stop() // so that it takes away what it captures with
	}
}

// until asks again until get's result is like what the page shows.
func (s *stage) until(at, shown string, get func() string) {
	s.t.Helper()
	tick := time.NewTicker(30 * time.Millisecond)
	defer tick.Stop()
	late := time.After(patience)
	for {
		got := s.toShown(get())
		if like(shown, got) {
			return
		}
		select {
		case <-late:
			s.t.Fatalf("%s: the page shows\n%s\nbut it prints\n%s\nOf what was started:\n%s", at, shown, got, s.said())
		case <-tick.C:
		}
	}
}

// said is what the last process that was started printed.
func (s *stage) said() string {
	if len(s.procs) == 0 {
		return "nothing"
	}
	last := s.procs[len(s.procs)-1]
	return s.toShown(last.out.String() + last.errs.String())
}

// run runs commands in the foreground.
func (s *stage) run(line string) string {
	cmd := s.command(line)
	out, _ := cmd.CombinedOutput()
	return string(out)
}

// echoes starts echo on the ports from 9001 to 9009 that a page mentions.
func (s *stage) echoes() { s.services("echo-service") }

// orders starts the example's gRPC service instead, and puts its descriptors
// where the page can name them.
func (s *stage) orders() {
	descriptors, err := os.ReadFile(filepath.Join(root, "examples/grpc/orders.pb"))
	if err == nil {
		err = os.WriteFile(filepath.Join(s.dir, "orders.pb"), descriptors, 0o644)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.services("orders-service")
}

func (s *stage) services(program string) {
	var args []string
	for port, free := range s.real {
		if strings.HasPrefix(port, "900") {
			args = append(args, free)
		}
	}
	if len(args) == 0 {
		return
	}
	s.start(program + " " + strings.Join(args, " "))
	for _, port := range args {
		s.until(program, "ok\n", func() string {
			c, err := net.Dial("tcp", "127.0.0.1:"+port)
			if err != nil {
				return err.Error()
			}
			c.Close()
			return "ok"
		})
	}
}

// step is a command and what it prints.
type step struct {
	command, shown string
}

func steps(text string) (list []step, err error) {
	for line := range strings.Lines(text) {
		if command, ok := strings.CutPrefix(line, "$ "); ok {
			list = append(list, step{command: command})
			continue
		}
		if len(list) == 0 {
			return nil, fmt.Errorf("a console block begins with a command: %q", line)
		}
		last := &list[len(list)-1]
		if strings.HasSuffix(last.command, "\\\n") {
			last.command += strings.TrimPrefix(line, "> ")
			continue
		}
		last.shown += line
	}
	for i := range list {
		list[i].command = strings.TrimSpace(list[i].command)
	}
	return list, nil
}
