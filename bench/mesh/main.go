// Command mesh measures what the mesh costs: a client whose workload's proxy
// speaks mutual TLS to the proxy of a service, beside one plain hop of naru,
// a direct call, and a pair of Envoys where an envoy is on PATH.
//
// # Words
//
// A way is one of these. All proxies of a way share one processor, as both
// machines' would if they were one. CPU is that of all of them together.
//
// # Life
//
// Everything is started once. Ways take turns, in rotating order: first as fast
// as they can, then, for what they add to a request, at half of what the mesh
// has reached. With -rotations the mesh alone is started, and certificates are
// replaced under steady load.
package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/naru-mesh/naru/bench/cost"
	"github.com/naru-mesh/naru/bench/load"
	"github.com/naru-mesh/naru/bench/peer"
)

const roleVariable = "NARU_BENCH_ROLE"

func main() {
	switch os.Getenv(roleVariable) {
	case "origin":
		end(load.Serve())
	case "generator":
		end(load.Answer())
	}
	rounds := flag.Int("rounds", 7, "turns of each way")
	window := flag.Duration("seconds", time.Second, "length of a turn")
	out := flag.String("results", "", "`file` for the report (default bench/results/mesh.txt, or rotations.txt there)")
	rotations := flag.Int("rotations", 0, "replace so many certificates under load, in place of measuring costs")
	naru := flag.String("naru", "", "the naru `program` (default: built from this module)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	b := &bench{ctx: ctx, rounds: *rounds, window: *window, starter: peer.NewStarter()}
	text, good, err := "", true, b.begin(*naru)
	switch {
	case err != nil:
	case *rotations > 0:
		*out = cmp.Or(*out, "bench/results/rotations.txt")
		text, good, err = b.rotations(*rotations)
	default:
		*out = cmp.Or(*out, "bench/results/mesh.txt")
		text, err = b.run()
	}
	b.close()
	stop()
	if err == nil {
		fmt.Print(text)
		err = os.WriteFile(*out, []byte(text), 0o644)
	}
	if err == nil && !good {
		err = errors.New("requests failed")
	}
	end(err)
}

func end(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// bench is everything that runs.
type bench struct {
	ctx       context.Context
	rounds    int
	window    time.Duration
	dir       string
	program   string
	starter   *peer.Starter
	cpus      peer.CPUs
	rest      peer.CPUs
	generator *load.Generator
	origin    netip.AddrPort
	running   []*exec.Cmd // ended in reverse
	ways      []*way
	idle      int64 // bytes of memory of the bigger node, with one workload, before any load
}

// way is how a request gets to the service.
type way struct {
	name string
	addr netip.AddrPort
	host string
	// fields are further lines of each request.
	fields string
	pids   []int

	full, half []load.Result
}

// build finds or makes the program, and a folder for all that runs.
func (b *bench) build(naru string) (err error) {
	if b.dir, err = os.MkdirTemp("", "naru-bench-mesh-"); err != nil {
		return err
	}
	if naru != "" {
		b.program, err = filepath.Abs(naru)
		return err
	}
	b.program = filepath.Join(b.dir, "program")
	build := exec.CommandContext(b.ctx, "go", "build", "-o", b.program, "github.com/naru-mesh/naru/cmd/naru")
	build.Stderr = os.Stderr
	return build.Run()
}

func (b *bench) run() (string, error) {
	b.ways = []*way{{name: "direct", addr: b.origin, host: "bench"}}
	for _, add := range []func() error{b.hop, b.mesh, b.envoys} {
		if err := add(); err != nil {
			return "", err
		}
	}
	if err := b.rested(); err != nil {
		return "", err
	}
	return b.measure()
}

// start starts a program in the folder, which ends with this one.
func (b *bench) start(cmd *exec.Cmd, cpus peer.CPUs) error {
	cmd.Dir = b.dir
	log, err := os.Create(filepath.Join(b.dir, fmt.Sprintf("%d.log", len(b.running))))
	if err != nil {
		return err
	}
	defer log.Close()
	if cmd.Stdout == nil {
		cmd.Stdout = log
	}
	cmd.Stderr = log
	if err := b.starter.Start(cmd, cpus); err != nil {
		return err
	}
	b.running = append(b.running, cmd)
	return nil
}

// ends starts the service and the client: this program again.
func (b *bench) ends() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	child := func(role string) *exec.Cmd {
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), roleVariable+"="+role)
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
	if err := b.start(origin, b.rest); err != nil {
		return err
	}
	line, err := bufio.NewReader(said).ReadString('\n')
	if err != nil {
		return fmt.Errorf("origin: %w", err)
	}
	plain, _, _ := strings.Cut(strings.TrimSpace(line), " ")
	if b.origin, err = netip.ParseAddrPort(plain); err != nil {
		return err
	}
	generator := child("generator")
	if b.generator, err = load.Attach(generator); err != nil {
		return err
	}
	return b.start(generator, b.rest)
}

// hop is one naru without a mesh.
func (b *bench) hop() error {
	at, err := peer.FreePort()
	if err != nil {
		return err
	}
	cmd := exec.Command(b.program, "run", "--to", "http://"+b.origin.String(), "--listen", at.String(), "--admin", "off", "--drain", "1s")
	if err := b.start(cmd, b.cpus); err != nil {
		return err
	}
	return b.add(&way{name: "one hop", addr: at, host: "bench", pids: []int{cmd.Process.Pid}})
}

// add takes a way once it answers.
func (b *bench) add(w *way) error {
	var status int
	var err error
	for limit := time.Now().Add(30 * time.Second); time.Now().Before(limit) && b.ctx.Err() == nil; time.Sleep(50 * time.Millisecond) {
		if status, err = peer.Get(w.addr, w.host, "/small", w.fields); err == nil && status == 200 {
			b.ways = append(b.ways, w)
			return nil
		}
	}
	return fmt.Errorf("%s does not answer: status %d, %v (see %s)", w.name, status, err, b.dir)
}

// rested lets the nodes rest and says what they then hold.
func (b *bench) rested() error {
	select {
	case <-time.After(5 * time.Second):
	case <-b.ctx.Done():
		return b.ctx.Err()
	}
	for _, pid := range b.way("naru, mTLS").pids {
		b.idle = max(b.idle, cost.Resident([]int{pid}))
	}
	return nil
}

// measure gives each way its turns.
func (b *bench) measure() (string, error) {
	plan := load.Plan{Paths: []string{"/small"}, Want: load.Bodies()["small"], Conns: 64, Warm: 300 * time.Millisecond, Window: b.window}
	turn := func(rate float64, keep func(*way, load.Result)) error {
		for round := range b.rounds {
			for i := range b.ways {
				if b.ctx.Err() != nil {
					return b.ctx.Err()
				}
				w := b.ways[(round+i)%len(b.ways)]
				p := plan
				p.Addr, p.Host, p.Fields, p.Pids, p.Rate = w.addr, w.host, w.fields, w.pids, rate
				if len(b.cpus) > 0 {
					p.CPU = b.cpus[0]
				}
				res, err := b.generator.Run(p)
				if err != nil {
					return err
				}
				keep(w, res)
				time.Sleep(100 * time.Millisecond)
			}
		}
		return nil
	}
	if err := turn(0, func(w *way, r load.Result) { w.full = append(w.full, r) }); err != nil {
		return "", err
	}
	half := median(b.way("naru, mTLS").full, func(r *load.Result) float64 { return r.PerSecond() }) / 2
	if err := turn(half, func(w *way, r load.Result) { w.half = append(w.half, r) }); err != nil {
		return "", err
	}
	return b.report(half), nil
}

func (b *bench) way(name string) *way {
	i := slices.IndexFunc(b.ways, func(w *way) bool { return w.name == name })
	if i < 0 {
		return nil
	}
	return b.ways[i]
}

func median(list []load.Result, of func(*load.Result) float64) float64 {
	v := make([]float64, 0, len(list))
	for i := range list {
		v = append(v, of(&list[i]))
	}
	slices.Sort(v)
	if len(v) == 0 {
		return 0
	}
	return v[len(v)/2]
}

func cpu(r *load.Result) float64 { return float64(r.CPU) / 1e3 / float64(max(r.Requests, 1)) }

// ratio is that of one way's CPU by another's, round by round.
func ratio(a, b *way) float64 {
	var v []float64
	for i := range min(len(a.full), len(b.full)) {
		if x := cpu(&b.full[i]); x > 0 {
			v = append(v, cpu(&a.full[i])/x)
		}
	}
	slices.Sort(v)
	if len(v) == 0 {
		return 0
	}
	return v[len(v)/2]
}

func (b *bench) report(half float64) string {
	var t strings.Builder
	fmt.Fprintf(&t, "the mesh beside one hop: %d rounds of %v each, medians; %s\n", b.rounds, b.window, time.Now().UTC().Format(time.DateOnly))
	fmt.Fprintf(&t, "64 connections, answers of 100 B; all proxies of a way on one processor, client and service on the other\n\n")
	fmt.Fprintf(&t, "%-12s %16s %12s %10s %10s | at %.0f requests/s: %10s %10s %10s %8s\n", "", "CPU µs/request", "requests/s", "p50 µs", "p99 µs", half, "CPU µs", "p50 µs", "p99 µs", "failed")
	us := func(d time.Duration) float64 { return float64(d) / 1e3 }
	why := map[string]struct{}{}
	for _, w := range b.ways {
		failed := 0
		for _, r := range append(slices.Clone(w.full), w.half...) {
			failed += r.Failed
			for _, what := range r.Failures {
				why[w.name+": "+what] = struct{}{}
			}
		}
		fmt.Fprintf(&t, "%-12s %16.1f %12.0f %10.0f %10.0f | %31.1f %10.0f %10.0f %8d\n", w.name,
			median(w.full, cpu), median(w.full, func(r *load.Result) float64 { return r.PerSecond() }),
			median(w.full, func(r *load.Result) float64 { return us(r.P50) }), median(w.full, func(r *load.Result) float64 { return us(r.P99) }),
			median(w.half, cpu), median(w.half, func(r *load.Result) float64 { return us(r.P50) }), median(w.half, func(r *load.Result) float64 { return us(r.P99) }), failed)
	}
	for _, what := range slices.Sorted(maps.Keys(why)) {
		fmt.Fprintln(&t, "  failed,", what)
	}
	direct, pair := b.way("direct"), b.way("naru, mTLS")
	fmt.Fprintf(&t, "\nadded to a direct call at half load: p50 %.0f µs, p99 %.0f µs\n",
		median(pair.half, func(r *load.Result) float64 { return us(r.P50) })-median(direct.half, func(r *load.Result) float64 { return us(r.P50) }),
		median(pair.half, func(r *load.Result) float64 { return us(r.P99) })-median(direct.half, func(r *load.Result) float64 { return us(r.P99) }))
	verdict := func(what string, got, limit float64) {
		word := "PASS"
		if got > limit || got == 0 {
			word = "MISS"
		}
		fmt.Fprintf(&t, "  %s  %-60s %.2f  (at most %.2f)\n", word, what, got, limit)
	}
	verdict("CPU of both naru proxies by one plain hop's", ratio(pair, b.way("one hop")), 2.3)
	if e := b.way("Envoys, mTLS"); e != nil {
		verdict("CPU of both naru proxies by that of two Envoys", ratio(pair, e), 0.5)
	} else {
		t.WriteString("  no envoy on PATH, so not compared\n")
	}
	verdict("resident memory of an idle node with one workload, MiB", float64(b.idle)/(1<<20), 25)
	return t.String()
}

func (b *bench) close() {
	for _, cmd := range slices.Backward(b.running) {
		peer.Stop(cmd)
	}
	b.starter.Close()
	_ = os.RemoveAll(b.dir)
}
