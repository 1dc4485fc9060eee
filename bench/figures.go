package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/naru-mesh/naru/bench/cost"
	"github.com/naru-mesh/naru/bench/load"
	"github.com/naru-mesh/naru/bench/peer"
)

// figures measures what is not load. Each failure leaves the others to go on.
func (f *field) figures(ctx context.Context, r *report) error {
	var errs error
	for _, one := range []struct {
		key     string
		measure func(context.Context) (*figure, error)
	}{
		{"idle-cpu", f.idleCPU},
		{"idle-plain", f.idlePlain},
		{"idle-tls", f.idleTLS},
		{"idle-h2", f.idleStreams},
		{"start", f.starts},
		{"resident", f.resident},
		{"lookup", f.lookup},
		{"routes-cpu", f.routesCPU},
		{"load-10k", f.loadTime},
		{"change", f.changeTime},
		{"reload", f.reloads},
	} {
		if ctx.Err() != nil {
			return nil
		}
		if !f.opt.wants(one.key) {
			continue
		}
		out, err := one.measure(ctx)
		if err != nil {
			if ctx.Err() == nil {
				errs = errors.Join(errs, fmt.Errorf("%s: %w", one.key, err))
			}
			continue
		}
		r.Figures = append(r.Figures, out)
		fmt.Fprint(f.opt.out, out.text())
	}
	return errs
}

// each restarts every proxy, because memory remembers what was before, and
// calls fn with it alone.
func (f *field) each(ctx context.Context, key string, fn func(p *peer.Peer) error) error {
	for _, of := range f.peers {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		p, err := f.start(of.Kind, key+"-"+of.Name, peer.Job{Routes: f.opt.routes, PerFile: 100})
		if err != nil {
			return err
		}
		err = fn(p)
		p.Stop()
		if err != nil {
			return fmt.Errorf("%s: %w", of.Name, err)
		}
	}
	return nil
}

// holding plans connections that ask once and then idle.
func (f *field) holding(p *peer.Peer, conns int, tls bool) load.Plan {
	return f.plan(p, "small", load.Plan{Conns: conns, TLS: tls, Hold: true})
}

// idleSettle is how long proxies have to become quiet.
const idleSettle = 2 * time.Second

func (f *field) idleCPU(ctx context.Context) (*figure, error) {
	out := newFigure("idle-cpu", "processor time while 100 connections idle", "ms a second")
	window := 5 * time.Second / time.Duration(f.opt.scale)
	return out, f.each(ctx, out.Key, func(p *peer.Peer) error {
		if _, err := f.generator.Run(f.holding(p, 100, false)); err != nil {
			return err
		}
		f.settle(ctx, idleSettle/time.Duration(f.opt.scale))
		was, from := cost.Read(p.Pids), time.Now()
		f.settle(ctx, window)
		out.add(p.Name, cost.Read(p.Pids).Since(was).Seconds()*1000/time.Since(from).Seconds())
		return f.generator.Drop()
	})
}

func (f *field) idlePlain(ctx context.Context) (*figure, error) {
	return f.idleMemory(ctx, newFigure("idle-plain", "memory of an idle connection", "KiB"), 10000, false)
}

func (f *field) idleTLS(ctx context.Context) (*figure, error) {
	return f.idleMemory(ctx, newFigure("idle-tls", "memory of an idle TLS connection", "KiB"), 2000, true)
}

// idleMemory compares the resident memory with and without many connections.
// A first load makes what is there once only: code, pools, buffers.
func (f *field) idleMemory(ctx context.Context, out *figure, conns int, tls bool) (*figure, error) {
	conns = min(conns/f.opt.scale, f.conns-300)
	out.Notes = []string{fmt.Sprintf("%d connections that have each had one answer; growth of resident memory, that of files and the kernel's not included", conns),
		"nginx keeps a table for all connections that it may have from the start, which is not in its figure"}
	return out, f.each(ctx, out.Key, func(p *peer.Peer) error {
		warm := f.plan(p, "small", load.Plan{Conns: 64, TLS: tls})
		if _, err := f.generator.Run(warm); err != nil {
			return err
		}
		f.settle(ctx, idleSettle/time.Duration(f.opt.scale))
		was := cost.Own(p.Pids)
		res, err := f.generator.Run(f.holding(p, conns, tls))
		if err != nil {
			return err
		}
		if res.Requests < conns {
			out.Notes = append(out.Notes, fmt.Sprintf("%s held only %d connections: %v", p.Name, res.Requests, res.Failures))
		}
		f.settle(ctx, idleSettle/time.Duration(f.opt.scale))
		out.add(p.Name, float64(cost.Own(p.Pids)-was)/1024/float64(max(res.Requests, 1)))
		return f.generator.Drop()
	})
}

// starts measures from exec to the first answer.
func (f *field) starts(ctx context.Context) (*figure, error) {
	out := newFigure("start", "from exec to the first answer", "ms")
	out.Notes = []string{fmt.Sprintf("naru with %d routes", f.opt.routes)}
	times := map[string][]float64{}
	for range max(1, 9/f.opt.scale) {
		if err := f.each(ctx, out.Key, func(p *peer.Peer) error {
			times[p.Name] = append(times[p.Name], p.Ready.Seconds()*1000)
			return nil
		}); err != nil {
			return nil, err
		}
	}
	for _, p := range f.peers {
		out.add(p.Name, times[p.Name]...)
	}
	return out, nil
}

// resident measures memory at rest.
func (f *field) resident(ctx context.Context) (*figure, error) {
	out := newFigure("resident", "resident memory at rest", "MiB")
	rest := func(name string, p *peer.Peer) {
		f.settle(ctx, idleSettle/time.Duration(f.opt.scale))
		out.add(name, float64(cost.Resident(p.Pids))/(1<<20))
	}
	for _, v := range []struct {
		name string
		job  peer.Job
	}{
		{"naru, 10 routes", peer.Job{Routes: 10}},
		{"naru, 10,000 routes", peer.Job{Routes: 10000, PerFile: 100}},
		{"naru, 10,000 routes, short form", peer.Job{Routes: 10000, PerFile: 100, Short: true}},
	} {
		if err := f.alone(ctx, out.Key, v.job, func(p *peer.Peer) error { rest(v.name, p); return nil }); err != nil {
			return nil, err
		}
	}
	for _, of := range f.peers[1:] {
		p, err := f.start(of.Kind, out.Key+"-"+of.Name, peer.Job{})
		if err != nil {
			return nil, err
		}
		rest(of.Name, p)
		p.Stop()
	}
	return out, nil
}

// alone runs naru with a Job.
func (f *field) alone(ctx context.Context, folder string, j peer.Job, fn func(p *peer.Peer) error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	p, err := f.start(f.kinds[0], folder, j)
	if err != nil {
		return err
	}
	defer p.Stop()
	return fn(p)
}
