package main

import (
	"bufio"
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/naru-mesh/naru/bench/load"
	"github.com/naru-mesh/naru/bench/peer"
)

// host is the name that clients ask for.
const host = "bench.example.com"

// field is everything that runs.
type field struct {
	opt     options
	dir     string
	starter *peer.Starter
	cpus    peer.CPUs // the proxies'
	rest    peer.CPUs
	conns   int    // that every proxy can have open
	program string // naru

	children  []*exec.Cmd
	generator *load.Generator
	origin    netip.AddrPort
	calls     netip.AddrPort // its gRPC
	cert      *peer.Certificate
	kinds     []*peer.Kind
	missing   []string
	peers     []*peer.Peer // naru first
	profiles  []string     // files, in the order of the turns
}

// newField starts origin, generator and proxies.
func newField(ctx context.Context, opt options) (_ *field, err error) {
	f := &field{opt: opt, starter: peer.NewStarter()}
	defer func() {
		if err != nil {
			f.close()
		}
	}()
	if f.dir, err = os.MkdirTemp("", "naru-bench-"); err != nil {
		return nil, err
	}
	if f.program, err = f.build(ctx); err != nil {
		return nil, err
	}
	f.cpus, f.rest = peer.Halves()
	f.conns = min(12000, peer.OpenFiles()/2-200)
	if f.cert, err = peer.NewCertificate(f.dir, host); err != nil {
		return nil, err
	}
	if err = f.startEnds(); err != nil {
		return nil, err
	}
	f.kinds, f.missing = peer.Find(f.program)
	if opt.before != "" {
		before, err := filepath.Abs(opt.before)
		if err != nil {
			return nil, err
		}
		f.kinds = append(f.kinds, peer.Before(before))
	}
	for _, k := range f.kinds {
		if !opt.against(k.Name) {
			continue
		}
		p, err := f.start(k, k.Name, peer.Job{Routes: opt.routes, PerFile: 100})
		if err != nil {
			return nil, err
		}
		f.peers = append(f.peers, p)
		if err := p.CheckTLS(); err != nil {
			return nil, fmt.Errorf("%s: TLS: %w", k.Name, err)
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	return f, nil
}

// build gives the naru program.
func (f *field) build(ctx context.Context) (string, error) {
	if f.opt.naru != "" {
		return filepath.Abs(f.opt.naru)
	}
	path := filepath.Join(f.dir, "program")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", path, "github.com/naru-mesh/naru/cmd/naru")
	cmd.Stderr = os.Stderr
	return path, cmd.Run()
}

// startEnds starts origin and generator: this program again.
func (f *field) startEnds() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	child := func(role string) *exec.Cmd {
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), roleVariable+"="+role)
		cmd.Stderr = os.Stderr
		return cmd
	}
	origin := child("origin")
	if _, err := origin.StdinPipe(); err != nil { // it ends with us
		return err
	}
	said, err := origin.StdoutPipe()
	if err != nil {
		return err
	}
	if err := f.starter.Start(origin, f.rest); err != nil {
		return err
	}
	f.children = append(f.children, origin)
	line, err := bufio.NewReader(said).ReadString('\n')
	if err != nil {
		return fmt.Errorf("origin: %w", err)
	}
	plain, calls, _ := strings.Cut(strings.TrimSpace(line), " ")
	if f.origin, err = netip.ParseAddrPort(plain); err != nil {
		return err
	}
	if f.calls, err = netip.ParseAddrPort(calls); err != nil {
		return err
	}
	generator := child("generator")
	if f.generator, err = load.Attach(generator); err != nil {
		return err
	}
	if err := f.starter.Start(generator, f.rest); err != nil {
		return err
	}
	f.children = append(f.children, generator)
	return nil
}

// start starts a proxy in a folder of its own.
func (f *field) start(k *peer.Kind, folder string, j peer.Job) (*peer.Peer, error) {
	var err error
	j.Dir = filepath.Join(f.dir, folder)
	j.Origin, j.Calls, j.Cert, j.Host, j.Conns = f.origin, f.calls, f.cert, host, f.conns
	if j.Plain, err = peer.FreePort(); err != nil {
		return nil, err
	}
	if j.Secure, err = peer.FreePort(); err != nil {
		return nil, err
	}
	if j.Streams, err = peer.FreePort(); err != nil {
		return nil, err
	}
	if j.Pipe, err = peer.FreePort(); err != nil {
		return nil, err
	}
	cpus := f.cpus
	if j.Wide {
		cpus = append(append(peer.CPUs{}, f.cpus...), f.rest...)
	}
	return k.Start(f.starter, cpus, j, f.path(0, "small"))
}

// path asks a route for a body. Loads go to 16 of the routes.
func (f *field) path(i int, body string) string {
	return peer.RoutePath(i*f.opt.routes/loadedRoutes%f.opt.routes) + "/" + body
}

const loadedRoutes = 16

func (f *field) paths(body string) []string {
	all := make([]string, loadedRoutes)
	for i := range all {
		all[i] = f.path(i, body)
	}
	return all
}

// plan completes a Plan for a proxy.
func (f *field) plan(p *peer.Peer, body string, plan load.Plan) load.Plan {
	plan.Addr, plan.Host, plan.Pids = p.Job.Plain, host, p.Pids
	if plan.TLS {
		plan.Addr = p.Job.Secure
	}
	if plan.Pipe {
		plan.Addr = p.Job.Pipe
	}
	plan.Paths, plan.Want = f.paths(body), load.Bodies()[body]
	plan.Warm, plan.Window = f.opt.warm, f.opt.window
	if len(f.cpus) > 0 {
		plan.CPU = f.cpus[0]
	}
	return plan
}

// close ends everything and removes what was written.
func (f *field) close() {
	for _, p := range f.peers {
		p.Stop()
	}
	for _, c := range f.children {
		peer.Stop(c)
	}
	f.starter.Close()
	_ = os.RemoveAll(f.dir)
}

// settle lets proxies digest what ended.
func (f *field) settle(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
