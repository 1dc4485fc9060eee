package load

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"sync"

	"github.com/naru-mesh/naru/wire"
	"github.com/naru-mesh/naru/wire/loop"
	"github.com/naru-mesh/naru/wire/secure"
)

// loops is how many loops each end has: the processors that it may use, at
// most four.
func loops() int { return min(runtime.NumCPU(), 4) }

// Serve is the origin's process: it prints its address and that of its gRPC
// service, and answers until
// standard input ends.
func Serve() error {
	d, err := loop.New(loop.Options{Loops: loops()})
	if err != nil {
		return err
	}
	defer d.Close()
	l, err := newOrigin().listen(d, netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		return err
	}
	calls, err := listenCalls(d, netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		return err
	}
	fmt.Println(l.Addr(), calls.Addr())
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// command is a line to the generator; a Result answers all but stop.
type command struct {
	Plan *Plan `json:",omitempty"`
	Stop bool  `json:",omitempty"` // end the running Plan now
	Drop bool  `json:",omitempty"` // close held connections
}

// Answer is the generator's process: it runs the Plans that standard input
// names until it ends.
func Answer() error {
	d, err := loop.New(loop.Options{Loops: loops(), ReadBuffer: 1 << 20})
	if err != nil {
		return err
	}
	defer d.Close()
	var (
		tasks   sync.WaitGroup
		running *run
		held    []*run
		in      = json.NewDecoder(bufio.NewReader(os.Stdin))
		out     = json.NewEncoder(os.Stdout)
	)
	for {
		var c command
		if err := in.Decode(&c); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		switch {
		case c.Stop:
			close(running.stop)
		case c.Drop:
			for _, r := range held {
				r.end()
			}
			held = nil
			if err := out.Encode(Result{}); err != nil {
				return err
			}
		case c.Plan != nil:
			tasks.Wait()
			running = newRun(*c.Plan)
			r := running
			if c.Plan.Hold {
				held = append(held, r)
			}
			tasks.Go(func() { _ = out.Encode(r.carryOut(d)) })
		}
	}
}

// carryOut runs a Plan to its end.
func (r *run) carryOut(d wire.Driver) Result {
	if r.plan.TLS && r.plan.Fresh {
		return r.shakes()
	}
	var dialer wire.Dialer = wire.PlainDialer{}
	if r.plan.TLS {
		var err error
		dialer, err = secure.New(0).Client(&wire.ClientTLS{ServerName: r.plan.Host, Insecure: true})
		if err != nil {
			return Result{Failed: 1, Failures: []string{err.Error()}}
		}
	}
	r.begin(d, dialer)
	return r.measure()
}

// Generator is the parent's handle of the generator's process.
type Generator struct {
	in  *json.Encoder
	out *json.Decoder
}

// Attach gives cmd, which is not started yet, the pipes of a Generator.
func Attach(cmd *exec.Cmd) (*Generator, error) {
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	return &Generator{in: json.NewEncoder(in), out: json.NewDecoder(out)}, nil
}

// Start begins a Plan; Wait gives its Result, Stop ends it before its time.
func (g *Generator) Start(p Plan) error { return g.in.Encode(command{Plan: &p}) }

// Stop ends the window of a Plan now.
func (g *Generator) Stop() error { return g.in.Encode(command{Stop: true}) }

// Wait waits for the Result of what was started.
func (g *Generator) Wait() (Result, error) {
	var r Result
	err := g.out.Decode(&r)
	return r, err
}

// Run is Start and Wait.
func (g *Generator) Run(p Plan) (Result, error) {
	if err := g.Start(p); err != nil {
		return Result{}, err
	}
	return g.Wait()
}

// Drop closes the connections that Plans with Hold have left open.
func (g *Generator) Drop() error {
	if err := g.in.Encode(command{Drop: true}); err != nil {
		return err
	}
	_, err := g.Wait()
	return err
}
