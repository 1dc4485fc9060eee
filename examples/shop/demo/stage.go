package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/naru-mesh/naru/test/freeport"
)

// stage is all that runs.
type stage struct {
	ctx             context.Context
	bin, dir        string
	config          string // with the port in use
	gateway, admin  string // URLs
	socket, control string // where naru meets workloads, and us
	naru            *program
	shop            []*program
	died            chan *program
}

// program is one that was started.
type program struct {
	name string
	log  string // file
	cmd  *exec.Cmd
	err  error
	over chan struct{} // closed when it has ended
}

// ended says that it has, and what it said.
func (p *program) ended() error {
	text, _ := os.ReadFile(p.log)
	return fmt.Errorf("%s ended: %v\n%s", p.name, p.err, bytes.TrimSpace(text))
}

// patience bounds the start of the whole shop.
const patience = 30 * time.Second

// start starts everything at once: naru exec waits for naru, and a program for
// nobody, because it calls others only when it is called.
func (s *stage) start(config string) error {
	s.died = make(chan *program, 8)
	ports := map[string]string{}
	for _, p := range []string{"8080", "9001", "9002", "9003", "9004", "9901", "15008"} {
		var err error
		if ports[p], err = free(p); err != nil {
			return err
		}
	}
	if err := s.configure(config, ports["8080"]); err != nil {
		return err
	}
	at := func(p string) string { return "127.0.0.1:" + ports[p] }
	s.gateway, s.admin = "http://"+at("8080"), "http://"+at("9901")
	s.socket, s.control = filepath.Join(s.dir, "node.sock"), filepath.Join(s.dir, "control.sock")
	var err error
	s.naru, err = s.launch("naru", "run", s.config, "--address", "127.0.0.1", "--mesh-port", ports["15008"], "--admin", at("9901"),
		"--socket", s.socket, "--control-socket", s.control, "--drain", "3s",
		"--capture-scope", fmt.Sprintf("naru-demo-%d", os.Getpid()))
	if err != nil {
		return err
	}
	for _, p := range []struct {
		name, port string
		args       []string
	}{
		{"catalog", "9002", nil},
		{"payments", "9004", nil},
		{"orders", "9003", []string{"-data", filepath.Join(s.dir, "orders.db"), "-catalog", "http://catalog:9002", "-payments", "http://payments:9004"}},
		{"storefront", "9001", []string{"-catalog", "http://catalog:9002"}},
	} {
		args := append([]string{"exec", "--socket", s.socket, "--service", p.name, "--port", ports[p.port], "--health", "/healthz", "--log-level", "error",
			"--", filepath.Join(s.bin, p.name), "-listen", at(p.port)}, p.args...)
		started, err := s.launch(p.name, args...)
		if err != nil {
			return err
		}
		s.shop = append(s.shop, started)
	}
	return s.ready()
}

// configure takes the configuration as it is where its port is free, so that
// who edits it sees what happens, and otherwise a copy.
func (s *stage) configure(config, port string) error {
	s.config = config
	if port == "8080" {
		return nil
	}
	text, err := os.ReadFile(config)
	if err != nil {
		return err
	}
	s.config = filepath.Join(s.dir, "naru.yaml")
	return os.WriteFile(s.config, regexp.MustCompile(`:8080\b`).ReplaceAll(text, []byte(":"+port)), 0o644)
}

// free gives port where nothing listens on it, and otherwise one that is ours
// until we end: what is free now may be somebody else's before naru listens.
func free(port string) (string, error) {
	ln, err := net.Listen("tcp", ":"+port)
	if err == nil {
		return port, ln.Close()
	}
	at, _, err := freeport.Take(netip.IPv4Unspecified())
	if err != nil {
		return "", fmt.Errorf("in place of port %s: %w", port, err)
	}
	return strconv.Itoa(int(at.Port())), nil
}

// launch starts naru, in the part that name says, so that it ends when we do,
// however we end.
func (s *stage) launch(name string, args ...string) (*program, error) {
	p := &program{name: name, log: filepath.Join(s.dir, name+".log"), over: make(chan struct{})}
	log, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	p.cmd = exec.Command(filepath.Join(s.bin, "naru"), args...)
	p.cmd.Env = environment()
	p.cmd.Stdout, p.cmd.Stderr = log, log // no pipe: they outlive us, if only to clean up
	// Its own group, so that Ctrl-C reaches only us and the order of ending is
	// ours.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := p.cmd.Start(); err != nil {
		log.Close()
		return nil, fmt.Errorf("%s: %w (make demo builds it)", name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		log.Close()
		close(p.over)
		s.died <- p
	}()
	return p, nil
}

// environment is ours without proxies: those of the mesh take their place, and
// where traffic is captured there must be none.
func environment() []string {
	var keep []string
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		switch strings.ToLower(name) {
		case "http_proxy", "https_proxy", "all_proxy", "no_proxy":
		default:
			keep = append(keep, v)
		}
	}
	return keep
}

// ready waits until the shop answers, and says how its traffic is captured.
func (s *stage) ready() error {
	ctx, cancel := context.WithTimeout(s.ctx, patience)
	defer cancel()
	for _, w := range []struct{ name, url string }{
		{"naru", s.admin + "/readyz"}, {"storefront", s.gateway + "/"}, {"catalog", s.gateway + "/api/catalog/items"}, {"orders", s.gateway + "/api/orders"},
	} {
		if err := s.await(ctx, w.name, func() bool { return answers(ctx, w.url) }); err != nil {
			return err
		}
	}
	// No route of the gateway's leads to payments.
	paid := regexp.MustCompile(`(?m)^\S+/payments-.* serving `)
	err := s.await(ctx, "payments", func() bool {
		out, err := s.command(ctx, "status", "--socket", s.control).Output()
		return err == nil && paid.Match(out)
	})
	if err != nil {
		return err
	}
	log, err := os.ReadFile(s.naru.log)
	if err != nil {
		return err
	}
	how := "by eBPF: programs need no change and no setting"
	if m := regexp.MustCompile(`captured by (HTTP_PROXY.*)\)\n`).FindSubmatch(log); m != nil {
		how = "by " + string(m[1]) + ".\nWhere naru may use eBPF (for root, on most machines) it needs no such setting"
	}
	fmt.Printf("started naru as gateway %s, control plane and proxy of this machine,\nand with it, by naru exec: storefront, catalog, orders, payments.\nTheir traffic is captured %s.\n", s.gateway, how)
	return nil
}

// command runs naru and ends with ctx.
func (s *stage) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, "naru"), args...)
	cmd.Env = environment()
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	return cmd
}

func answers(ctx context.Context, url string) bool {
	req, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == 200
}

// await waits until something is so.
func (s *stage) await(ctx context.Context, name string, is func() bool) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case p := <-s.died:
			return p.ended()
		case <-ctx.Done():
			if s.ctx.Err() != nil {
				return s.ctx.Err()
			}
			log, _ := os.ReadFile(filepath.Join(s.dir, name+".log"))
			return fmt.Errorf("%s did not become ready within %v\n%s", name, patience, bytes.TrimSpace(log))
		case <-tick.C:
		}
	}
	return nil
}

// said is what the programs wrote, for whom something failed.
func (s *stage) said() error {
	var all []error
	for _, p := range append([]*program{s.naru}, s.shop...) {
		if text, _ := os.ReadFile(p.log); len(bytes.TrimSpace(text)) > 0 {
			all = append(all, fmt.Errorf("%s said:\n%s", p.name, bytes.TrimSpace(text)))
		}
	}
	return errors.Join(all...)
}

// stop ends what runs: the shop, then what carries its traffic.
func (s *stage) stop() {
	end(s.shop...)
	if s.naru != nil {
		end(s.naru)
	}
}

func end(all ...*program) {
	for _, p := range all {
		_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	}
	late := time.After(10 * time.Second)
	for _, p := range all {
		select {
		case <-p.over:
		case <-late:
			_ = p.cmd.Process.Kill()
			<-p.over
			late = time.After(0)
		}
	}
}
