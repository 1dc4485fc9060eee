package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/naru-mesh/naru/bench/cost"
	"github.com/naru-mesh/naru/bench/load"
	"github.com/naru-mesh/naru/bench/peer"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/route"
	"github.com/naru-mesh/naru/wire"
)

// sizes of tables that are compared.
var sizes = []int{10, 1000, 10000, 100000}

// lookup measures package route by itself: the time of one Find, for traffic
// to ten of the routes.
func (f *field) lookup(ctx context.Context) (*figure, error) {
	out := newFigure("lookup", "one lookup in the route table", "ns")
	out.Notes = []string{"traffic to ten of the routes, spread over the table; the least of many interleaved rounds"}
	tables := make([]*route.Table, len(sizes))
	for i, n := range sizes {
		entries := make([]route.Entry, n)
		for r := range entries {
			entries[r] = route.Entry{
				Match: model.Match{PathKind: model.PathPrefix, Path: peer.RoutePath(r)}, Rule: int32(r),
				Order: model.Order{Name: "bench", Index: r},
			}
		}
		var errs []route.EntryError
		if tables[i], errs = route.Build(entries, nil); errs != nil {
			return nil, errs[0]
		}
	}
	times := make([][]float64, len(sizes))
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for range 20 * f.opt.rounds {
		for i, n := range sizes {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			ns, err := find(tables[i], n, 20000)
			if err != nil {
				return nil, err
			}
			times[i] = append(times[i], ns)
		}
	}
	for i, n := range sizes {
		// The least is the cost; what is above it is caches that others filled.
		out.add(strconv.Itoa(n)+" routes", spreadOf(times[i]).Min)
	}
	return out, nil
}

// find gives the processor time of a lookup, in ns. The caller's goroutine
// keeps its thread.
func find(t *route.Table, n, times int) (float64, error) {
	const targets = 10
	var heads [targets]wire.Head
	var rules [targets]int32
	for i := range heads {
		at := i * (n / targets)
		heads[i] = wire.Head{Method: []byte("GET"), Path: []byte(peer.RoutePath(at) + "/items/42")}
		rules[i] = int32(at)
	}
	name := []byte(host)
	var hit route.Hit
	begin := threadTime()
	for i := range times {
		if at := i % targets; !t.Find(&heads[at], name, &hit) || hit.Rule != rules[at] {
			return 0, fmt.Errorf("%s found %d", heads[at].Path, hit.Rule)
		}
	}
	return float64(threadTime()-begin) / float64(times), nil
}

// threadTime is the processor time of the calling thread.
func threadTime() time.Duration {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts) // fails on no Linux
	return time.Duration(ts.Nano())
}

// routesCPU measures whole requests with tables of different sizes.
func (f *field) routesCPU(ctx context.Context) (*figure, error) {
	out := newFigure("routes-cpu", "naru's CPU by number of routes, 64 connections", "µs a request")
	var peers []*peer.Peer
	defer func() {
		for _, p := range peers {
			p.Stop()
		}
	}()
	counts := sizes
	if f.opt.scale > 1 {
		counts = sizes[:2]
	}
	for _, n := range counts {
		p, err := f.start(f.kinds[0], fmt.Sprintf("routes-%d", n), peer.Job{Routes: n, PerFile: 1000, Short: true})
		if err != nil {
			return nil, err
		}
		peers = append(peers, p)
	}
	times := make([][]float64, len(counts))
	for round := range f.opt.rounds {
		for i := range counts {
			i := (round + i) % len(counts)
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			plan := f.plan(peers[i], "small", load.Plan{Conns: 64})
			for k := range plan.Paths {
				plan.Paths[k] = peer.RoutePath(k*counts[i]/loadedRoutes) + "/small"
			}
			res, err := f.generator.Run(plan)
			if err != nil {
				return nil, err
			}
			times[i] = append(times[i], micros(res.CPU)/float64(max(res.Requests, 1)))
		}
	}
	level(times)
	for i, n := range counts {
		out.add(strconv.Itoa(n)+" routes", times[i]...)
	}
	out.Notes = append(out.Notes, "each time by the mean of its round: a machine that is slower for a while is so for all sizes")
	return out, nil
}

// level takes out of times, of each thing in each round, by how much a round was
// slower for all than the median of the rounds.
func level(times [][]float64) {
	means := make([]float64, len(times[0]))
	for round := range means {
		for i := range times {
			means[round] += times[i][round] / float64(len(times))
		}
	}
	usual := spreadOf(means).Median
	for round, mean := range means {
		for i := range times {
			times[i][round] *= usual / mean
		}
	}
}

// forms are the ways in which 10,000 routes are written. There is no load, and
// all processors are naru's, as outside a benchmark.
func (f *field) forms() []form {
	n := 10000 / f.opt.scale
	return []form{
		{"Gateway API, 100 a file", peer.Job{Routes: n, PerFile: 100, Wide: true}},
		{"Gateway API, one file", peer.Job{Routes: n, Wide: true}},
		{"short form, 100 a file", peer.Job{Routes: n, PerFile: 100, Short: true, Wide: true}},
		{"short form, one file", peer.Job{Routes: n, Short: true, Wide: true}},
	}
}

type form struct {
	name string
	job  peer.Job
}

// loadTime measures from exec to the first answer with 10,000 routes.
func (f *field) loadTime(ctx context.Context) (*figure, error) {
	out := newFigure("load-10k", "naru from exec to the first answer with 10,000 routes", "ms")
	for _, v := range f.forms() {
		var times []float64
		for range max(1, 3/f.opt.scale) {
			if err := f.alone(ctx, out.Key, v.job, func(p *peer.Peer) error {
				times = append(times, p.Ready.Seconds()*1000)
				return nil
			}); err != nil {
				return nil, err
			}
		}
		out.add(v.name, times...)
	}
	return out, nil
}

// changeTime measures from the write of a file until a request sees that one
// of 10,000 routes is another.
func (f *field) changeTime(ctx context.Context) (*figure, error) {
	out := newFigure("change", "one of 10,000 routes changed: from when the file is written until a request sees it", "ms")
	for _, v := range f.forms() {
		var times []float64
		if err := f.alone(ctx, out.Key, v.job, func(p *peer.Peer) error {
			f.settle(ctx, 500*time.Millisecond)
			for generation := 1; generation <= 5; generation++ {
				d, err := change(ctx, p, generation)
				if err != nil {
					return err
				}
				times = append(times, d.Seconds()*1000)
				f.settle(ctx, 300*time.Millisecond)
			}
			return nil
		}); err != nil {
			return nil, fmt.Errorf("%s: %w", v.name, err)
		}
		out.add(v.name, times...)
	}
	return out, nil
}

// changeMost bounds the wait for a change.
const changeMost = 20 * time.Second

// change writes a generation and gives the time from when the file is there
// until it serves. Making the file is the editor's work, and asking more often
// would take processor time from what is measured.
func change(ctx context.Context, p *peer.Peer, generation int) (time.Duration, error) {
	var begin time.Time
	if err := p.Job.Change(generation, func() { begin = time.Now() }); err != nil {
		return 0, err
	}
	for {
		status, err := peer.Get(p.Job.Plain, host, peer.StampPath)
		switch {
		case err == nil && status == peer.Stamp(generation):
			return time.Since(begin), nil
		case ctx.Err() != nil:
			return 0, ctx.Err()
		case time.Since(begin) > changeMost:
			return 0, fmt.Errorf("a change is not seen after %v: answered %d, %w", changeMost, status, errors.Join(err))
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// reloads changes the configuration 200 times under full load.
func (f *field) reloads(ctx context.Context) (*figure, error) {
	times := 200 / f.opt.scale
	out := newFigure("reload", fmt.Sprintf("%d reloads under full load", times), "")
	err := f.alone(ctx, out.Key, peer.Job{Routes: f.opt.routes, PerFile: 100}, func(p *peer.Peer) error {
		plan := f.plan(p, "small", load.Plan{Conns: 64})
		plan.Window = 0
		if err := f.generator.Start(plan); err != nil {
			return err
		}
		early := max(1, times/10)
		var was int64
		var failed error
		var took []float64
		for i := 1; i <= times && failed == nil; i++ {
			var d time.Duration
			if d, failed = change(ctx, p, i); failed == nil {
				took = append(took, d.Seconds()*1000)
			}
			if i == early {
				was = cost.Resident(p.Pids)
			}
		}
		now := cost.Resident(p.Pids)
		if err := f.generator.Stop(); err != nil {
			return err
		}
		res, err := f.generator.Wait()
		if err = errors.Join(failed, err); err != nil {
			return err
		}
		out.add("requests", float64(res.Requests))
		out.add("failed", float64(res.Failed))
		out.add("connections closed", float64(res.Reopened))
		out.add("ms until live", took...)
		out.add(fmt.Sprintf("MiB after %d", early), float64(was)/(1<<20))
		out.add(fmt.Sprintf("MiB after %d", times), float64(now)/(1<<20))
		out.add("MiB grown", float64(now-was)/(1<<20))
		for _, why := range res.Failures {
			out.Notes = append(out.Notes, "failed: "+why)
		}
		return nil
	})
	return out, err
}
