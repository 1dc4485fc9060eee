package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"github.com/naru-mesh/naru/bench/cost"
	"github.com/naru-mesh/naru/bench/load"
	"github.com/naru-mesh/naru/bench/peer"
)

// streamed are the rows whose client is h2load: 8 connections with 100 streams
// each, in plain text.
func streamed() []row {
	return []row{
		{key: "h2", title: "HTTP/2, 8 x 100 streams, 100 B", body: "small"},
		{key: "grpc", title: "gRPC unary, 8 x 100 streams, 32 B"},
	}
}

// streamRequests is how many are made in a turn of a second.
const streamRequests = 40_000

// streams measures the loads of h2load.
func (f *field) streams(ctx context.Context, r *report) error {
	client, err := exec.LookPath("h2load")
	if err != nil {
		r.Facts.Missing = append(r.Facts.Missing, "h2load (for HTTP/2 and gRPC)")
		return nil
	}
	for _, l := range streamed() {
		if ctx.Err() != nil {
			return nil
		}
		if !f.opt.wants(l.key) {
			continue
		}
		out, err := f.take(ctx, l, f.peers, func(p *peer.Peer) (load.Result, error) { return f.h2load(ctx, client, p, l) })
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

var (
	succeeded = regexp.MustCompile(`(\d+) succeeded, (\d+) failed, (\d+) errored`)
	finished  = regexp.MustCompile(`status codes: (\d+) 2xx`)
	received  = regexp.MustCompile(`\((\d+)\) data`)
)

// h2load makes the requests of a turn and reads what they cost the proxy.
func (f *field) h2load(ctx context.Context, client string, p *peer.Peer, l row) (res load.Result, err error) {
	n := max(int(streamRequests*f.opt.window.Seconds())/f.opt.scale, 800)
	args := []string{"-n", strconv.Itoa(n), "-c", "8", "-m", "100", "-t", "1"}
	if l.body != "" {
		for i := range loadedRoutes {
			args = append(args, "http://"+p.Job.Streams.String()+f.path(i, l.body))
		}
	} else {
		message := filepath.Join(f.dir, "call")
		if err := os.WriteFile(message, load.Call(), 0o600); err != nil {
			return res, err
		}
		args = append(args, "-d", message, "-H", "content-type: application/grpc", "-H", "te: trailers",
			"http://"+p.Job.Streams.String()+load.CallPath)
	}
	cmd := exec.CommandContext(ctx, client, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cpu := 0
	if len(f.cpus) > 0 {
		cpu = f.cpus[0]
	}
	before, occupied, began := cost.Read(p.Pids), cost.Occupied(cpu), time.Now()
	if err := f.starter.Start(cmd, f.rest); err != nil {
		return res, err
	}
	if err := cmd.Wait(); err != nil {
		return res, fmt.Errorf("h2load: %w: %s", err, out.Bytes())
	}
	res.Elapsed = time.Since(began)
	res.CPU = cost.Read(p.Pids).Since(before)
	res.Others = max(0, cost.Occupied(cpu)-occupied-res.CPU)
	good, data := finished.FindSubmatch(out.Bytes()), received.FindSubmatch(out.Bytes())
	if good == nil || data == nil || succeeded.Find(out.Bytes()) == nil {
		return res, errors.New("h2load said: " + out.String())
	}
	res.Requests, _ = strconv.Atoi(string(good[1]))
	// A gRPC error is 200 too, and has no body.
	want := len(load.Call())
	if l.body != "" {
		want = load.Bodies()[l.body]
	}
	if bytes, _ := strconv.Atoi(string(data[1])); bytes != n*want {
		return res, fmt.Errorf("%d bytes of bodies, want %d times %d", bytes, n, want)
	}
	if res.Failed = n - res.Requests; res.Failed > 0 {
		res.Failures = []string{string(succeeded.Find(out.Bytes()))}
	}
	return res, nil
}
