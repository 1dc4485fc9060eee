package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"

	"github.com/naru-mesh/naru/bench/peer"
)

// adaptive is naru in the overload row with a limit that it finds itself.
const adaptive = "adaptive"

// options of a run.
type options struct {
	naru    string // program; "" builds it
	rounds  int
	rows    *regexp.Regexp
	peers   string
	apart   bool
	results string
	out     io.Writer
}

// bench is a run.
type bench struct {
	opt       options
	self      string
	dir       string
	starter   *peer.Starter
	cpus      peer.CPUs // of the proxies
	rest      peer.CPUs
	lacks     string // why there is no network namespace; "" when there is one
	kinds     []*kind
	missing   []string
	slow      *slowPaths
	openFiles int
}

func main() {
	if os.Getenv(roleVariable) != "" {
		if err := serveInstance(); err != nil {
			fmt.Fprintln(os.Stderr, "instance:", err)
			os.Exit(1)
		}
		return
	}
	opt := options{out: os.Stdout}
	var rows string
	var quick bool
	flag.StringVar(&opt.naru, "naru", "", "the naru `program` (default: built from this module)")
	flag.IntVar(&opt.rounds, "rounds", 3, "turns of each proxy at each row")
	flag.StringVar(&rows, "rows", "", "only rows whose key matches this `regexp`")
	flag.StringVar(&opt.peers, "peers", "naru,haproxy,nginx,envoy", "who takes part; bare is naru with nothing configured")
	flag.BoolVar(&opt.apart, "apart", false, "the proxies take their turns one after another, which takes as many times longer as there are")
	flag.BoolVar(&quick, "quick", false, "one round: a first impression")
	flag.StringVar(&opt.results, "results", "", "`folder` for faults.txt (default: bench/results for a whole run, else none)")
	flag.Parse()
	if quick {
		opt.rounds = 1
	}
	if opt.results == "" && rows == "" && !quick {
		opt.results = filepath.Join("bench", "results")
	}
	var err error
	if opt.rows, err = regexp.Compile(rows); err == nil {
		err = run(opt)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
		os.Exit(1)
	}
}

// run is main, but for its flags.
func run(opt options) error {
	entered, lacks, cpus, rest := inside()
	if !entered {
		// Built before, because in there is no network to get modules from.
		args := os.Args[1:]
		if opt.naru == "" {
			program, err := build()
			if err != nil {
				return err
			}
			args = append([]string{"-naru", program}, args...)
		}
		return enter(args)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	b := &bench{opt: opt, self: self, cpus: cpus, rest: rest, lacks: lacks, starter: peer.NewStarter(), slow: newSlowPaths(), openFiles: peer.OpenFiles()}
	defer b.starter.Close()
	if b.dir, err = os.MkdirTemp("", "naru-faults-*"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	if made := filepath.Dir(opt.naru); filepath.Base(made) == madeFolder(os.Getpid()) {
		defer os.RemoveAll(made)
	}
	b.kinds, b.missing = find(opt.naru, opt.peers)
	if len(b.kinds) == 0 {
		return errors.New("nobody takes part: see -peers")
	}
	return b.all(ctx)
}

// madeFolder is that of the program that a process, which exec keeps, built.
func madeFolder(pid int) string { return fmt.Sprintf("naru-faults-program-%d", pid) }

// build builds naru.
func build() (string, error) {
	dir := filepath.Join(os.TempDir(), madeFolder(os.Getpid()))
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", err
	}
	program := filepath.Join(dir, "naru")
	cmd := exec.Command("go", "build", "-trimpath", "-o", program, "./cmd/naru")
	cmd.Stderr = os.Stderr
	return program, cmd.Run()
}

// all goes through the rows, round by round, and reports.
func (b *bench) all(ctx context.Context) error {
	rep := b.report()
	fmt.Fprint(b.opt.out, rep.heading())
	var errs []error
	for _, r := range rows() {
		if !b.opt.rows.MatchString(r.key) || ctx.Err() != nil {
			continue
		}
		if r.namespace && b.lacks != "" {
			rep.skipped = append(rep.skipped, fmt.Sprintf("%s: no network namespace (%s)", r.title, b.lacks))
			continue
		}
		t := &table{row: r, faults: map[string][]figures{}, pressed: map[string][]pressed{}}
		for round := range b.opt.rounds {
			if r.overload {
				kinds := b.kinds
				if kinds[0].name == "naru" {
					kinds = append([]*kind{{name: adaptive, program: kinds[0].program, start: startAdaptive}}, kinds...)
				}
				for i := range kinds {
					k := kinds[(i+round)%len(kinds)]
					p, err := b.overload(ctx, k, r)
					if err != nil {
						errs = append(errs, fmt.Errorf("%s, %s: %w", r.title, k.name, err))
						continue
					}
					t.pressed[k.name] = append(t.pressed[k.name], p)
				}
				continue
			}
			got, err := b.together(ctx, r, b.opt.apart, round)
			if err != nil {
				errs = append(errs, err)
			}
			for name, f := range got {
				t.faults[name] = append(t.faults[name], f)
			}
		}
		if ctx.Err() == nil {
			rep.tables = append(rep.tables, t)
			fmt.Fprint(b.opt.out, rep.text(t))
		}
	}
	if ctx.Err() != nil {
		fmt.Fprintln(b.opt.out, "interrupted; nothing was written")
		return nil
	}
	fmt.Fprint(b.opt.out, rep.verdicts())
	if b.opt.results != "" {
		errs = append(errs, rep.write(b.opt.results))
	}
	return errors.Join(errs...)
}
