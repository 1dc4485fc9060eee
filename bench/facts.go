package main

import (
	"fmt"
	"os"
	"regexp"
	"runtime"
	"strings"
	"time"
)

// facts say on what the figures were made.
type facts struct {
	Date     string
	CPU      string
	CPUs     int
	Kernel   string
	Go       string
	Versions map[string]string
	Order    []string
	Missing  []string
	Routes   int
	Loads    string // how processors were shared
}

func (f *field) facts() facts {
	out := facts{
		Date: time.Now().UTC().Format(time.DateOnly), CPUs: len(f.rest), Go: runtime.Version(), Routes: f.opt.routes,
		CPU: first("/proc/cpuinfo", `model name\s*:\s*(.*)`), Kernel: first("/proc/version", `version (\S+)`),
		Versions: map[string]string{}, Missing: f.missing,
		Loads: "all on one processor",
	}
	if len(f.cpus) == 1 && len(f.rest) > 0 && f.rest[0] != f.cpus[0] {
		out.CPUs++
		out.Loads = fmt.Sprintf("one for the proxy, %d for clients and service", len(f.rest))
	}
	for _, p := range f.peers {
		out.Order = append(out.Order, p.Name)
		out.Versions[p.Name] = p.Version()
	}
	return out
}

// first gives what a pattern finds in a file.
func first(file, pattern string) string {
	b, _ := os.ReadFile(file)
	if m := regexp.MustCompile(pattern).FindSubmatch(b); m != nil {
		return strings.TrimSpace(string(m[1]))
	}
	return "unknown"
}

func (f *facts) lines() []string {
	var names []string
	for _, n := range f.Order {
		names = append(names, strings.TrimSpace(n+" "+f.Versions[n]))
	}
	lines := []string{
		fmt.Sprintf("%s; %s, %d processors (%s); Linux %s; %s", f.Date, f.CPU, f.CPUs, f.Loads, f.Kernel, f.Go),
		strings.Join(names, ", "),
		fmt.Sprintf("naru has %d routes loaded, of which %d are asked for, and metrics on; the others have one route", f.Routes, loadedRoutes),
	}
	if len(f.Missing) > 0 {
		lines = append(lines, "not installed, so not compared: "+strings.Join(f.Missing, ", ")+" (bench/install gets Debian's; envoy is looked for on PATH)")
	}
	return lines
}
