// Package main measures what a control plane costs whose proxies are many: the
// time until one changed endpoint has reached all, the bytes that travel for it
// as the mesh grows, the control plane's memory and CPU, and how long a cold
// start takes.
//
// # Words
//
// A run is one control plane and its proxies, each side a process of its own, so
// that memory is told apart. The proxies are the real client of the link, over
// mutual TLS on loopback, all in one process; instead of making a Snapshot of
// what comes they note when it came (ClientOptions.Sink), because two thousand
// whole configurations would not fit one machine. The control plane is the real
// server, with a small authority and a store in memory.
//
// # Life
//
// Without -role it makes one run after another, prints, and writes link.txt
// and link.svg below bench/results.
//
// # Rules
//
// Both processes share the cores of one machine: times hold for both halves
// together. Bytes are those of the sockets, TLS included.
//
// # Not here
//
// What a proxy does with a configuration (bench, bench/cost).
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// result is one run.
type result struct {
	Services, Clients, Changes int
	// Join is from the first join to the moment at which every proxy has
	// everything; Restart the same for a control plane that comes back to
	// proxies that have everything.
	Join, Restart time.Duration
	// Middle and Most are of the times until a change had reached all.
	Middle, Most time.Duration
	// Bytes are sent and received by the control plane, for one change and
	// one proxy; First those of the first configuration.
	Bytes, First float64
	// CPU is the control plane's, for one change.
	CPU time.Duration
	// Memory is the most that the control plane's process held, in MiB.
	Memory float64
}

func main() {
	role := flag.String("role", "", "server or clients: one half of a run")
	services := flag.Int("services", 1000, "services, each with two workloads")
	clients := flag.Int("clients", 2000, "proxies")
	changes := flag.Int("changes", 20, "changes, one after another")
	out := flag.String("out", "bench/results", "folder for link.txt and link.svg; empty writes nothing")
	quick := flag.Bool("quick", false, "one small run, to see that it works")
	flag.Parse()
	var err error
	switch *role {
	case "server":
		err = serve(*services, *clients, *changes)
	case "clients":
		err = follow(*clients)
	default:
		err = all(*services, *clients, *changes, *out, *quick)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// all makes the runs.
func all(services, clients, changes int, out string, quick bool) error {
	if quick {
		r, err := run(50, 20, 3)
		if err == nil {
			fmt.Print(text([]result{*r}, nil))
		}
		return err
	}
	var sizes []result
	for _, n := range []int{100, 250, 500, 1000, 2000} {
		r, err := run(n, 100, changes)
		if err != nil {
			return err
		}
		sizes = append(sizes, *r)
	}
	full, err := run(services, clients, changes)
	if err != nil {
		return err
	}
	report := text(sizes, full)
	fmt.Print(report)
	if out == "" {
		return nil
	}
	if err := os.WriteFile(filepath.Join(out, "link.txt"), []byte(report), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(out, "link.svg"), []byte(chart(sizes)), 0o644)
}

func run(services, clients, changes int) (*result, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, "-role", "server", "-services", fmt.Sprint(services), "-clients", fmt.Sprint(clients), "-changes", fmt.Sprint(changes))
	cmd.Stderr = os.Stderr
	output, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%d services, %d proxies: %w", services, clients, err)
	}
	r := &result{}
	return r, json.Unmarshal(output, r)
}

func text(sizes []result, full *result) string {
	var b strings.Builder
	fmt.Fprintf(&b, "The link: a control plane and its proxies\n%s, %d cores, %s; load when it began: %s\n", time.Now().UTC().Format("2006-01-02"), runtime.NumCPU(), runtime.Version(), load())
	b.WriteString("Both sides on the same cores; proxies are the real client over mutual TLS, without compiling what comes.\n\n")
	fmt.Fprintf(&b, "%9s %8s %9s %13s %13s %13s %12s %10s %10s\n", "services", "proxies", "changes", "to all, p50", "to all, most", "bytes/change", "first bytes", "CPU", "memory")
	fmt.Fprintf(&b, "%9s %8s %9s %13s %13s %13s %12s %10s %10s\n", "", "", "", "", "", "per proxy", "per proxy", "per change", "MiB")
	list := sizes
	if full != nil {
		list = append(list[:len(list):len(list)], *full)
	}
	for _, r := range list {
		fmt.Fprintf(&b, "%9d %8d %9d %13s %13s %13.0f %12.0f %10s %10.0f\n", r.Services, r.Clients, r.Changes, round(r.Middle), round(r.Most), r.Bytes, r.First, round(r.CPU), r.Memory)
	}
	if full != nil {
		fmt.Fprintf(&b, "\n%d proxies joined by token and had everything after %s.\n", full.Clients, round(full.Join))
		fmt.Fprintf(&b, "A control plane that came back had served all of them after %s.\n", round(full.Restart))
	}
	return b.String()
}

func round(d time.Duration) string {
	if d > 10*time.Second {
		return d.Round(100 * time.Millisecond).String()
	}
	if d > 10*time.Millisecond {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(10 * time.Microsecond).String()
}

func load() string {
	f, err := os.Open("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	defer f.Close()
	in := bufio.NewScanner(f)
	in.Scan()
	first, _, _ := strings.Cut(in.Text(), " ")
	return first
}

// chart draws bytes for one change and for the first configuration, against
// the size of the mesh.
func chart(sizes []result) string {
	const width, height, left, bottom, top = 760, 360, 80, 300, 70
	most, services := 0.0, 0
	for _, r := range sizes {
		most, services = max(most, r.First), max(services, r.Services)
	}
	x := func(n int) float64 { return left + float64(n)/float64(services)*(width-left-40) }
	y := func(bytes float64) float64 { return bottom - bytes/most*(bottom-top) }
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="system-ui, sans-serif" font-size="12" fill="#222">`+"\n", width, height)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#fdfdfb"/>`+"\n", width, height)
	fmt.Fprintf(&b, `<text x="24" y="30" font-size="18" font-weight="700">Bytes on the wire for one proxy, as the mesh grows</text>`+"\n")
	fmt.Fprintf(&b, `<text x="24" y="50" fill="#555">%d proxies; TLS and acknowledgements included</text>`+"\n", sizes[0].Clients)
	fmt.Fprintf(&b, `<path d="M%d %dV%dH%d" fill="none" stroke="#999"/>`+"\n", left, top, bottom, width-40)
	for _, line := range []struct {
		name, colour string
		of           func(result) float64
	}{
		{"the first configuration", "#8a63b5", func(r result) float64 { return r.First }},
		{"one changed endpoint", "#2a9d5c", func(r result) float64 { return r.Bytes }},
	} {
		var path strings.Builder
		for i, r := range sizes {
			fmt.Fprintf(&path, "%c%.1f %.1f", "ML"[min(i, 1)], x(r.Services), y(line.of(r)))
			fmt.Fprintf(&b, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/><text x="%.1f" y="%.1f" text-anchor="middle" font-size="10">%s</text>`+"\n", x(r.Services), y(line.of(r)), line.colour, x(r.Services), y(line.of(r))-8, size(line.of(r)))
		}
		last := sizes[len(sizes)-1]
		fmt.Fprintf(&b, `<path d="%s" fill="none" stroke="%s" stroke-width="2"/><text x="%.1f" y="%.1f" text-anchor="end" fill="%s">%s</text>`+"\n", path.String(), line.colour, x(last.Services), y(line.of(last))-22, line.colour, line.name)
	}
	for _, r := range sizes {
		fmt.Fprintf(&b, `<text x="%.1f" y="%d" text-anchor="middle" fill="#555">%d</text>`+"\n", x(r.Services), bottom+18, r.Services)
	}
	fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="middle" fill="#555">services, each with two workloads</text>`+"\n</svg>\n", (left+width-40)/2, bottom+40)
	return b.String()
}

func size(bytes float64) string {
	if bytes < 10_000 {
		return fmt.Sprintf("%.0f B", bytes)
	}
	return fmt.Sprintf("%.0f KiB", bytes/1024)
}
