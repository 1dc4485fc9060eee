package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/naru-mesh/naru/bench/cost"
	"github.com/naru-mesh/naru/bench/peer"
)

// instances of a service.
const instances = 3

// site is what one proxy has in one turn.
type site struct {
	bench *bench
	kind  *kind
	job   job // of the proxy
	// real are the instances' own addresses; where a path is delayed the
	// proxy has another.
	real  [instances]netip.AddrPort
	procs [instances]*process
	proxy *exec.Cmd
	said  *os.File
	net   *network
	path  *slowPath // to instance 0; nil where it is direct

	mu    sync.Mutex
	given map[string]int // POSTs, by how often instances were given them
}

// process is an instance that runs.
type process struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	gone  chan struct{} // its output has ended
}

// newSite starts a proxy and its instances, and waits until every instance has
// answered through it. number tells sites of the same time apart.
func (b *bench) newSite(ctx context.Context, k *kind, r *row, number int) (s *site, err error) {
	s = &site{bench: b, kind: k, given: map[string]int{}}
	defer func() {
		if err != nil {
			s.close()
			s = nil
		}
	}()
	s.job = job{dir: filepath.Join(b.dir, fmt.Sprintf("%s-%d", k.name, number)), overload: r.overload}
	if err := os.MkdirAll(s.job.dir, 0o700); err != nil {
		return s, err
	}
	listen, err := peer.FreePort()
	if err != nil {
		return s, err
	}
	s.job.listen = listen
	n := instances
	if r.overload {
		n = 1
	}
	for i := range n {
		free, err := peer.FreePort()
		if err != nil {
			return s, err
		}
		// Addresses of their own, so that packets can be told by them.
		s.real[i] = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, byte(100 + number), byte(1 + i)}), free.Port())
		state := ""
		if r.overload {
			state = doCapacity
		}
		if err := s.start(i, state); err != nil {
			return s, err
		}
		s.job.instances = append(s.job.instances, s.real[i])
	}
	s.net = &network{table: fmt.Sprintf("faults%d", number)}
	if r.delayed {
		via := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, byte(100 + number), 101}), s.real[0].Port())
		if s.path, err = b.slow.open(s.net.table, via, s.real[0]); err != nil {
			return s, err
		}
		s.job.instances[0] = via
	}
	if s.proxy, err = k.start(k.program, &s.job); err != nil {
		return s, err
	}
	if s.said, err = os.Create(filepath.Join(s.job.dir, "said.log")); err != nil {
		return s, err
	}
	s.proxy.Dir, s.proxy.Stdout, s.proxy.Stderr = s.job.dir, s.said, s.said
	if err := b.starter.Start(s.proxy, b.cpus); err != nil {
		return s, err
	}
	return s, s.ready(ctx, n)
}

// ready waits until every instance has answered.
func (s *site) ready(ctx context.Context, n int) error {
	limit := time.Now().Add(20 * time.Second)
	seen := map[int]bool{}
	var last error
	for time.Now().Before(limit) {
		c := crowd{addr: s.job.listen, patience: 2 * time.Second, start: time.Now()}
		by, err := c.ask("GET /work", 0)
		c.done()
		if last = err; err == nil {
			if seen[by] = true; len(seen) >= n {
				return nil
			}
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
	text, _ := os.ReadFile(s.said.Name())
	return fmt.Errorf("%s: %d of %d instances answer, last: %v: %s", s.kind.name, len(seen), n, last, text[max(0, len(text)-2000):])
}

// start starts an instance and waits until it listens.
func (s *site) start(i int, state string) error {
	cmd := exec.Command(s.bench.self)
	cmd.Env = append(os.Environ(), roleVariable+"=instance", fmt.Sprintf("%s=%d", numberVariable, i), listenVariable+"="+s.real[i].String(), stateVariable+"="+state)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := s.bench.starter.Start(cmd, s.bench.rest); err != nil {
		return err
	}
	p := &process{cmd: cmd, stdin: stdin, gone: make(chan struct{})}
	s.procs[i] = p
	ready := make(chan struct{})
	go func() {
		defer close(p.gone)
		in := bufio.NewScanner(stdout)
		for once := ready; in.Scan(); {
			if in.Text() == "ready" {
				close(once)
				continue
			}
			s.mu.Lock()
			s.given[in.Text()]++
			s.mu.Unlock()
		}
	}()
	select {
	case <-ready:
		return nil
	case <-p.gone:
		return errors.New("an instance ended at once")
	case <-time.After(10 * time.Second):
		return errors.New("an instance does not listen")
	}
}

// tell gives an instance a command.
func (s *site) tell(i int, command string) error {
	_, err := io.WriteString(s.procs[i].stdin, command+"\n")
	return err
}

// signal sends an instance a signal. Its end is waited for after SIGKILL.
func (s *site) signal(i int, sig syscall.Signal) {
	p := s.procs[i]
	if p == nil {
		return
	}
	_ = syscall.Kill(p.cmd.Process.Pid, sig)
	if sig == syscall.SIGKILL {
		s.reap(i)
	}
}

// reap waits for an instance that ends.
func (s *site) reap(i int) {
	p := s.procs[i]
	p.stdin.Close()
	<-p.gone
	_ = p.cmd.Wait()
	s.procs[i] = nil
}

// twice counts POSTs that instances were given more than once.
func (s *site) twice() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, times := range s.given {
		if times > 1 {
			n++
		}
	}
	return n
}

// memory is the proxy's, in bytes.
func (s *site) memory() int64 { return cost.Resident(cost.Tree(s.proxy.Process.Pid)) }

// close ends what the site has.
func (s *site) close() {
	if s.net != nil {
		_ = s.net.heal()
	}
	if s.path != nil {
		s.path.close()
	}
	if s.proxy != nil && s.proxy.Process != nil {
		peer.Stop(s.proxy)
	}
	for i := range s.procs {
		s.signal(i, syscall.SIGKILL)
	}
	if s.said != nil {
		s.said.Close()
	}
}
