package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/naru-mesh/naru/admin"
	"github.com/naru-mesh/naru/bench/load"
	"github.com/naru-mesh/naru/bench/peer"
)

// Steady load, and how fast certificates are replaced under it.
const (
	rotateRate  = 2000 // requests a second
	rotateConns = 32
	rotateEvery = 60 * time.Millisecond // a rotation on both nodes
	// Of the rounds, each with a rotation on both nodes, every so many is one of
	// the intermediate, or of the root.
	perIntermediate = 10
	perRoot         = 100
)

// rotated is what was replaced.
type rotated struct {
	workloads, intermediates, roots int
	took                            []time.Duration // of a round
}

// rotations replaces n certificates of the workloads on both nodes, with new
// keys, while requests pass: what fails is counted.
func (b *bench) rotations(n int) (string, bool, error) {
	if err := b.mesh(); err != nil {
		return "", false, err
	}
	busy := "unknown"
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		busy, _, _ = strings.Cut(string(text), " ")
	}
	w := b.ways[0]
	plan := load.Plan{
		Addr: w.addr, Host: w.host, Fields: w.fields, Pids: w.pids, Paths: []string{"/small"}, Want: load.Bodies()["small"],
		Conns: rotateConns, Rate: rotateRate, Warm: 300 * time.Millisecond,
	}
	if len(b.cpus) > 0 {
		plan.CPU = b.cpus[0]
	}
	if err := b.generator.Start(plan); err != nil {
		return "", false, err
	}
	done, err := b.replace(n)
	if stop := b.generator.Stop(); err == nil {
		err = stop
	}
	if err != nil {
		return "", false, err
	}
	res, err := b.generator.Wait()
	if err != nil {
		return "", false, err
	}
	var t strings.Builder
	fmt.Fprintf(&t, "certificates replaced under load: client -> proxy -> mutual TLS -> proxy -> service, two nodes; %s, %d cores, %s; load when it began: %s\n",
		time.Now().UTC().Format(time.DateOnly), runtime.NumCPU(), runtime.Version(), busy)
	fmt.Fprintf(&t, "%d connections, %d requests/s, answers of 100 B; a rotation is a new key, request and certificate of a workload, and new connections with it\n\n", rotateConns, rotateRate)
	slices.Sort(done.took)
	fmt.Fprintf(&t, "%d rotations of workloads, %d of the intermediate, %d of the root in %.1f s; both nodes in %v (p50), %v (most)\n",
		done.workloads, done.intermediates, done.roots, res.Elapsed.Seconds(), done.took[len(done.took)/2].Round(100*time.Microsecond), done.took[len(done.took)-1].Round(time.Millisecond))
	fmt.Fprintf(&t, "%d requests, %d failed; p50 %d µs, p99 %d µs, most %d µs\n", res.Requests, res.Failed, res.P50.Microseconds(), res.P99.Microseconds(), res.Most.Microseconds())
	for _, what := range res.Failures {
		fmt.Fprintln(&t, "  failed,", what)
	}
	word := "PASS"
	good := res.Failed == 0 && res.Stuck == 0 && done.workloads >= n
	if !good {
		word = "MISS"
	}
	fmt.Fprintf(&t, "  %s  %-60s %d  (at most 0)\n", word, fmt.Sprintf("requests that failed during %d rotations", done.workloads), res.Failed+res.Stuck)
	return t.String(), good, nil
}

// replace does it, by the commands that users have.
func (b *bench) replace(n int) (done rotated, err error) {
	sockets := []string{filepath.Join(b.dir, "client", "node.sock"), filepath.Join(b.dir, "service", "node.sock")}
	plane := admin.AtPlane(filepath.Join(b.dir, "control.sock"))
	tick := time.NewTicker(rotateEvery)
	defer tick.Stop()
	for round := 1; done.workloads < n; round++ {
		select {
		case <-b.ctx.Done():
			return done, b.ctx.Err()
		case <-tick.C:
		}
		began := time.Now()
		ctx, cancel := context.WithTimeout(b.ctx, 30*time.Second)
		var both sync.WaitGroup
		counts, errs := make([]int, len(sockets)), make([]error, len(sockets)+1)
		for i, s := range sockets {
			both.Go(func() { counts[i], errs[i] = admin.Renew(ctx, s) })
		}
		if round%perIntermediate == 0 {
			errs[len(sockets)] = plane.Reissue(ctx)
			done.intermediates++
		}
		both.Wait()
		done.took = append(done.took, time.Since(began))
		for _, c := range counts {
			done.workloads += c
		}
		if round%perRoot == perRoot/2 {
			errs = append(errs, plane.Rotate(ctx))
			done.roots++
		}
		cancel()
		for _, err := range errs {
			if err != nil {
				return done, fmt.Errorf("round %d: %w (see %s)", round, err, b.dir)
			}
		}
	}
	return done, nil
}

// begin is what run does first in any mode.
func (b *bench) begin(naru string) error {
	if err := b.build(naru); err != nil {
		return err
	}
	b.cpus, b.rest = peer.Halves()
	return b.ends()
}
