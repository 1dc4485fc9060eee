package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/naru-mesh/naru/bench/load"
	"github.com/naru-mesh/naru/bench/peer"
)

// row is a kind of load.
type row struct {
	key, title string
	body       string
	plan       load.Plan
	logged     bool // only naru, with its access log
}

// loads are the rows in the order of the report.
func loads() []row {
	post := func(n int) load.Plan { return load.Plan{Conns: 64, Method: "POST", Body: n} }
	return []row{
		{key: "plain-64", title: "64 connections, 100 B", body: "small", plan: load.Plan{Conns: 64}},
		{key: "plain-512", title: "512 connections, 100 B", body: "small", plan: load.Plan{Conns: 512}},
		{key: "paced-2000", title: "2,000 requests/s, 64 connections", body: "small", plan: load.Plan{Conns: 64, Rate: 2000}},
		{key: "paced-8000", title: "8,000 requests/s, 64 connections", body: "small", plan: load.Plan{Conns: 64, Rate: 8000}},
		{key: "tls-64", title: "TLS, 64 connections, 100 B", body: "small", plan: load.Plan{Conns: 64, TLS: true}},
		{key: "16k", title: "16 KiB answers, 64 connections", body: "16k", plan: load.Plan{Conns: 64}},
		{key: "16k-tls", title: "16 KiB answers, TLS", body: "16k", plan: load.Plan{Conns: 64, TLS: true}},
		{key: "1m", title: "1 MiB answers, 16 connections", body: "1m", plan: load.Plan{Conns: 16}},
		{key: "1m-tls", title: "1 MiB answers, TLS", body: "1m", plan: load.Plan{Conns: 16, TLS: true}},
		{key: "post-1k", title: "POST 1 KiB, 64 connections", body: "small", plan: post(1 << 10)},
		{key: "post-64k", title: "POST 64 KiB, 64 connections", body: "small", plan: post(64 << 10)},
		{key: "chunked", title: "chunked 4 KiB answers, 64 conns", body: "chunked", plan: load.Plan{Conns: 64}},
		{key: "fresh", title: "new connection per request", body: "small", plan: load.Plan{Conns: 64, Fresh: true}},
		{key: "handshake", title: "full TLS handshake per request", body: "small", plan: load.Plan{Conns: 32, Fresh: true, TLS: true}},
		{key: "tcp-100b", title: "TCP, 64 connections, 100 B", body: "small", plan: load.Plan{Conns: 64, Pipe: true}},
		{key: "tcp-1m", title: "TCP, 1 MiB answers, 16 connections", body: "1m", plan: load.Plan{Conns: 16, Pipe: true}},
		{key: "logged", title: "64 connections, JSON access log", body: "small", plan: load.Plan{Conns: 64}, logged: true},
	}
}

// rows measures the loads.
func (f *field) rows(ctx context.Context, r *report) error {
	for _, l := range loads() {
		if ctx.Err() != nil {
			return nil
		}
		if !f.opt.wants(l.key) {
			continue
		}
		peers := f.peers
		if l.plan.Pipe {
			peers = slices.DeleteFunc(slices.Clone(peers), func(p *peer.Peer) bool { return !p.Pipes() })
		}
		if l.logged {
			k := f.kinds[0]
			p, err := f.start(k, "logged", peer.Job{Routes: f.opt.routes, PerFile: 100, AccessLog: true})
			if err != nil {
				return err
			}
			peers = []*peer.Peer{p}
		}
		out, err := f.row(ctx, l, peers)
		if l.logged {
			peers[0].Stop()
		}
		if err != nil {
			return fmt.Errorf("%s: %w", l.key, err)
		}
		if ctx.Err() != nil {
			return nil
		}
		r.Rows = append(r.Rows, out)
		fmt.Fprint(f.opt.out, out.text())
	}
	return nil
}

// row gives each proxy its turns at one load.
func (f *field) row(ctx context.Context, l row, peers []*peer.Peer) (*rowReport, error) {
	return f.take(ctx, l, peers, func(p *peer.Peer) (load.Result, error) {
		return f.generator.Run(f.plan(p, l.body, l.plan))
	})
}

// take gives each proxy its turns, in rotating order.
func (f *field) take(ctx context.Context, l row, peers []*peer.Peer, run func(*peer.Peer) (load.Result, error)) (*rowReport, error) {
	out := &rowReport{Key: l.key, Title: l.title, Peers: map[string]*measured{}}
	for _, p := range peers {
		out.Order = append(out.Order, p.Name)
		out.Peers[p.Name] = &measured{}
	}
	for round := range f.opt.rounds {
		for i := range peers {
			if ctx.Err() != nil {
				return out, nil
			}
			p := peers[(round+i)%len(peers)]
			profiled := f.profile(ctx, p)
			res, again, err := f.turn(ctx, p, run)
			err = errors.Join(err, profiled())
			if err != nil {
				return nil, errors.Join(errors.New("the client ended"), err)
			}
			out.Peers[p.Name].results = append(out.Peers[p.Name].results, res)
			out.Again += again
		}
	}
	out.sum()
	return out, nil
}

// turn measures a proxy once at a load. Where others used its processor
// meanwhile it waits and measures again, and the least disturbed counts: which
// turn that is has nothing to do with who was measured.
func (f *field) turn(ctx context.Context, p *peer.Peer, run func(*peer.Peer) (load.Result, error)) (best load.Result, again int, err error) {
	for {
		res, err := run(p)
		if err != nil {
			return best, again, err
		}
		if again == 0 || res.Disturbed() < best.Disturbed() {
			best = res
		}
		f.settle(ctx, 100*time.Millisecond)
		if best.Disturbed() <= quiet || again >= f.opt.patience || ctx.Err() != nil {
			return best, again, nil
		}
		again++
		f.settle(ctx, time.Second)
	}
}
