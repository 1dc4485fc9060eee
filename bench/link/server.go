package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/naru-mesh/naru/link"
	"github.com/naru-mesh/naru/model"
)

const domain = "bench.naru"

// mesh is n services, each with two workloads, and a policy for every tenth.
func mesh(n int) *model.Config {
	c := &model.Config{Mesh: &model.Mesh{TrustDomain: domain}}
	for i := range n {
		short := fmt.Sprintf("s%04d", i)
		name := "shop/" + short + ":80"
		origin := model.Origin{Source: "shop.yaml", Line: 10 * i, Column: 3, Object: "Service shop/" + short}
		c.Services = append(c.Services, &model.Service{Name: name, Protocol: model.HTTP1, Origin: origin,
			Mesh: &model.MeshService{Namespace: "shop", Host: short, Port: 80, Protocol: model.AppHTTP}})
		for j := range 2 {
			instance := fmt.Sprintf("shop/%s-%d", short, j)
			c.Workloads = append(c.Workloads, &model.Workload{Name: instance, Namespace: "shop", Account: short, Node: fmt.Sprintf("node-%04d", i),
				Address: fmt.Sprintf("10.%d.%d.%d", j, i/250, 1+i%250), MeshPort: 15008, Ports: []model.WorkloadPort{{Service: name, Port: 8080}},
				Origin: model.Origin{Source: "documents/workloads/" + instance, Object: "Workload " + instance}})
		}
		if i%10 == 0 {
			c.Policies = append(c.Policies, &model.Policy{Name: "shop/" + short, Namespace: "shop", Services: []string{name}, Action: model.Allow, Origin: origin,
				Rules: []model.PolicyRule{{Principals: []string{"spiffe://" + domain + "/ns/shop/sa/s0001"}, Methods: []string{"GET"}}}})
		}
	}
	return c
}

// feed is a model.Feed that is set.
type feed struct {
	mu      sync.Mutex
	freezer model.Freezer
	newest  *model.Snapshot
	changed chan struct{}
}

func (f *feed) set(c *model.Config) model.Version {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.newest = f.freezer.Freeze(c)
	close(f.changed)
	f.changed = make(chan struct{})
	return f.newest.Version
}

func (f *feed) Next(ctx context.Context, after model.Version) (*model.Snapshot, error) {
	for {
		f.mu.Lock()
		s, changed := f.newest, f.changed
		f.mu.Unlock()
		if s.Version != after {
			return s, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-changed:
		}
	}
}

// counted counts what passes over a listener's connections.
type counted struct {
	net.Listener
	bytes *atomic.Int64
}

func (c counted) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return countedConn{conn, c.bytes}, nil
}

type countedConn struct {
	net.Conn
	bytes *atomic.Int64
}

func (c countedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.bytes.Add(int64(n))
	return n, err
}

func (c countedConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.bytes.Add(int64(n))
	return n, err
}

// start serves until stop is called.
func start(o link.ServerOptions, address string, bytes *atomic.Int64) (s *link.Server, at string, stop func(), err error) {
	if s, err = link.NewServer(o); err != nil {
		return nil, "", nil, err
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, "", nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.Serve(ctx, counted{l, bytes}); !errors.Is(err, context.Canceled) {
			fmt.Fprintln(os.Stderr, "serve:", err)
		}
	}()
	for s.Root() == nil {
		time.Sleep(time.Millisecond)
	}
	return s, l.Addr().String(), func() { cancel(); <-done }, nil
}

// serve is the control plane's half; it starts the other and leads.
func serve(services, clients, changes int) error {
	ca, err := newAuthority()
	if err != nil {
		return err
	}
	cfg := mesh(services)
	f := &feed{changed: make(chan struct{})}
	f.set(cfg)
	st := newMemory()
	var bytes atomic.Int64
	o := link.ServerOptions{Name: "bench", TrustDomain: domain, Feed: f, Authority: ca, Store: st, Registry: link.NewStoreRegistry(st), Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))}
	s, address, stop, err := start(o, "127.0.0.1:0", &bytes)
	if err != nil {
		return err
	}
	defer func() { stop() }()
	var tokens strings.Builder
	for i := range clients {
		t, err := link.CreateToken(context.Background(), st, link.Grant{Node: fmt.Sprintf("node-%04d", i), Any: true, Addresses: []string{"10.0.0.0/8"}}, 0, time.Now(), s.Root(), domain, []string{address})
		if err != nil {
			return err
		}
		tokens.WriteString(t.String() + "\n")
	}
	other, said, err := startClients(clients, tokens.String())
	if err != nil {
		return err
	}
	defer other()
	r := result{Services: services, Clients: clients, Changes: changes}
	began := time.Now()
	if err := current(s, clients, f.newest.Version, 5*time.Minute); err != nil {
		return err
	}
	r.Join = time.Since(began)
	r.First = float64(bytes.Load()) / float64(clients)

	var times []time.Duration
	bytes.Store(0)
	cpu := used()
	for i := range changes {
		at := i * 7 % services
		next := *cfg
		next.Workloads = slices.Clone(cfg.Workloads)
		w := *next.Workloads[at]
		w.Address = fmt.Sprintf("10.9.%d.%d", i/250, 1+i%250)
		next.Workloads[at] = &w
		cfg = &next
		began := time.Now()
		version := f.set(cfg)
		// The proxies' process says when the last of them had it.
		line, err := heard(said, time.Minute)
		if err != nil {
			return err
		}
		end, err := strconv.ParseInt(line, 10, 64)
		if err != nil {
			return err
		}
		times = append(times, time.Unix(0, end).Sub(began))
		if err := current(s, clients, version, time.Minute); err != nil {
			return err
		}
	}
	r.CPU = (used() - cpu) / time.Duration(changes)
	r.Bytes = float64(bytes.Load()) / float64(clients) / float64(changes)
	slices.Sort(times)
	r.Middle, r.Most = times[len(times)/2], times[len(times)-1]

	stop()
	time.Sleep(time.Second) // everybody has noticed
	began = time.Now()
	if s, _, stop, err = start(o, address, &bytes); err != nil {
		return err
	}
	if err := current(s, clients, f.newest.Version, 5*time.Minute); err != nil {
		return err
	}
	r.Restart = time.Since(began)
	r.Memory = memory()
	return json.NewEncoder(os.Stdout).Encode(r)
}

// current waits until every proxy has acknowledged a version.
func current(s *link.Server, clients int, v model.Version, most time.Duration) error {
	for end := time.Now().Add(most); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		n := 0
		for _, p := range s.Status() {
			if p.System == v && p.Lag == 0 {
				n++
			}
		}
		if n == clients {
			return nil
		}
	}
	return fmt.Errorf("after %v not all proxies are current", most)
}

func startClients(n int, tokens string) (stop func(), said <-chan string, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	cmd := exec.Command(self, "-role", "clients", "-clients", fmt.Sprint(n))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	if _, err := in.Write([]byte(tokens)); err != nil {
		return nil, nil, err
	}
	lines := make(chan string)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			lines <- s.Text()
		}
	}()
	return func() {
		_ = in.Close() // its sign to end
		for range lines {
		}
		_ = cmd.Wait()
	}, lines, nil
}

func heard(said <-chan string, most time.Duration) (string, error) {
	select {
	case line, ok := <-said:
		if !ok {
			return "", errors.New("the proxies have ended")
		}
		return line, nil
	case <-time.After(most):
		return "", fmt.Errorf("after %v a change has not reached all", most)
	}
}

// used is the CPU time of this process.
func used() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// memory is the most that this process held, in MiB.
func memory() float64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	kib, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
	if err != nil {
		return 0
	}
	return kib / 1024
}
