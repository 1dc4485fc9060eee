package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/naru-mesh/naru/bench/load"
)

// options of a run.
type options struct {
	naru     string // program; "" builds it
	before   string // another build of it; "" none
	rounds   int
	patience int // how often a disturbed turn is measured again
	window   time.Duration
	warm     time.Duration
	rows     *regexp.Regexp
	peers    string
	routes   int // loaded into naru
	scale    int // divides connections, routes and repetitions of the figures
	results  string
	profile  string // file for naru's CPU profile under the rows; "" takes none
	out      io.Writer
}

// roleVariable says to a process of this program that it is a child.
const roleVariable = "NARU_BENCH_ROLE"

func main() {
	if role(os.Getenv(roleVariable)) {
		return
	}
	opt := options{out: os.Stdout, warm: 300 * time.Millisecond, routes: 1000, scale: 1}
	var rows string
	var quick bool
	flag.StringVar(&opt.naru, "naru", "", "the naru `program` (default: built from this module)")
	flag.StringVar(&opt.before, "before", "", "another build of naru, a `program` to compare it with, too")
	flag.IntVar(&opt.rounds, "rounds", 9, "turns of each proxy at each row")
	flag.IntVar(&opt.patience, "patience", 2, "how often a turn is measured again when others used the proxy's processor")
	flag.DurationVar(&opt.window, "seconds", time.Second, "length of a turn")
	flag.StringVar(&rows, "rows", "", "only rows and figures whose key matches this `regexp`")
	flag.StringVar(&opt.peers, "peers", "nginx,haproxy,caddy,envoy", "the others")
	flag.BoolVar(&quick, "quick", false, "2 rounds, fewer repetitions: a first impression")
	flag.StringVar(&opt.results, "results", "bench/results", "`folder` for the report")
	flag.StringVar(&opt.profile, "profile", "", "`file` for naru's CPU profile under these rows, as the compiler reads it")
	flag.Parse()
	if quick {
		given := map[string]bool{}
		flag.Visit(func(f *flag.Flag) { given[f.Name] = true })
		if !given["rounds"] {
			opt.rounds = 2
		}
	}
	var err error
	if opt.rows, err = regexp.Compile(rows); err == nil {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		err = bench(ctx, opt)
		stop()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// role plays a child's part; false when this is the parent.
func role(name string) bool {
	var err error
	switch name {
	case "":
		return false
	case "origin":
		err = load.Serve()
	case "generator":
		err = load.Answer()
	default:
		err = fmt.Errorf("unknown role %q", name)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	return true
}

// bench runs everything and reports. What was measured before an interrupt is
// reported too.
func bench(ctx context.Context, opt options) error {
	f, err := newField(ctx, opt)
	if err != nil {
		return err
	}
	defer f.close()
	r := &report{Facts: f.facts(), Rounds: opt.rounds, Window: opt.window.Seconds()}
	fmt.Fprint(opt.out, r.heading())
	err = errors.Join(f.rows(ctx, r), f.streams(ctx, r), f.figures(ctx, r), f.mergeProfiles(ctx))
	r.judge()
	fmt.Fprint(opt.out, "\n", r.targets())
	if ctx.Err() != nil {
		fmt.Fprintln(opt.out, "interrupted; nothing was written")
		return nil
	}
	// What one proxy could not do does not take away what was measured.
	return errors.Join(err, r.write(opt.results))
}

// wants says whether a row or figure is asked for.
func (o *options) wants(key string) bool { return o.rows == nil || o.rows.MatchString(key) }

// against says whether a proxy is asked for.
func (o *options) against(name string) bool {
	for _, p := range strings.Split(o.peers, ",") {
		if p == name {
			return true
		}
	}
	return name == "naru" || name == "before"
}
