package main

import (
	"context"
	"syscall"
	"time"
)

// row is a kind of fault.
type row struct {
	key, title string
	// single: one instance of three is broken, so idempotent requests have
	// somewhere else to go.
	single bool
	// namespace: packets are dropped, which needs a network of our own.
	namespace bool
	delayed   bool // the path to instance 0 is one that can be delayed
	overload  bool
	// before runs under load until the quiet time begins; nil does nothing.
	before func(ctx context.Context, s *site) error
	// begin breaks something, heal mends it, which for some is nothing to do.
	begin, heal func(ctx context.Context, s *site) error
	// lasts is how long the fault does, where that is not the usual.
	lasts time.Duration
	// several instances are broken, or none is left: recovery counts from when
	// they are back.
	outage, several bool
	returns         bool // that an instance is there again is the fault
	// why a goal may be missed, where that lies in the fault itself.
	why string
}

// What lasts how long, in a turn.
const (
	warmTime   = time.Second
	quietTime  = 2 * time.Second
	faultTime  = 6 * time.Second
	afterTime  = 4 * time.Second
	deadTime   = 4 * time.Second // before an instance returns
	outageTime = 3 * time.Second
	returnTime = 8 * time.Second         // until everybody has noticed that it is back
	rollPause  = 1500 * time.Millisecond // between two restarts
	startTime  = 500 * time.Millisecond  // that a restarted instance needs
)

const (
	lossOneIn = 100
	delayMS   = 100 // each way
)

// rows are all of them, in the order of the report.
func rows() []*row {
	return []*row{
		{key: "kill", title: "kill -9 of one", single: true,
			begin: func(_ context.Context, s *site) error { s.signal(0, syscall.SIGKILL); return nil },
			heal:  func(_ context.Context, s *site) error { return s.start(0, "") }},
		{key: "stop", title: "SIGSTOP of one", single: true,
			begin: func(_ context.Context, s *site) error { s.signal(0, syscall.SIGSTOP); return nil },
			heal:  func(_ context.Context, s *site) error { s.signal(0, syscall.SIGCONT); return nil }},
		{key: "errors", title: "50% errors (500 and 503) at one", single: true, begin: telling(doErr), heal: telling(doWell)},
		{key: "latency", title: "10x latency at one", single: true, begin: telling(doSlow), heal: telling(doWell)},
		{key: "loss", title: "1% packet loss and 200 ms delay at one", single: true, namespace: true, delayed: true,
			begin: func(_ context.Context, s *site) error {
				if err := s.path.delay(delayMS); err != nil {
					return err
				}
				return s.net.drop(lossOneIn, s.job.instances[0].Addr())
			},
			heal: func(_ context.Context, s *site) error { s.path.heal(); return s.net.heal() }},
		{key: "refused", title: "connection refused by one", single: true, begin: telling(doRefuse), heal: telling(doListen)},
		{key: "blackhole", title: "connection black-holed at one", single: true, namespace: true,
			begin: func(_ context.Context, s *site) error { return s.net.drop(1, s.real[0].Addr()) },
			heal:  func(_ context.Context, s *site) error { return s.net.heal() }},
		{key: "slowbody", title: "slow body (2 s) at one", single: true, begin: telling(doDrip), heal: telling(doWell)},
		{key: "reset", title: "reset in mid-response at one", single: true, begin: telling(doReset), heal: telling(doWell),
			why: "what has been passed on of an answer cannot be taken back, so requests fail until the instance stands aside"},
		{key: "return", title: "one returns with an empty cache (8 s)", single: true, returns: true,
			// Load goes on while it is dead, so that those notice who notice
			// only by requests.
			before: func(ctx context.Context, s *site) error { s.signal(0, syscall.SIGKILL); return pause(ctx, deadTime) },
			begin:  func(_ context.Context, s *site) error { return s.start(0, doCold) },
			heal:   func(context.Context, *site) error { return nil }, lasts: returnTime},
		{key: "all-down", title: "all down for 3 s, and back", outage: true, several: true, lasts: outageTime,
			begin: func(_ context.Context, s *site) error {
				for i := range instances {
					s.signal(i, syscall.SIGKILL)
				}
				return nil
			},
			heal: func(_ context.Context, s *site) error {
				for i := range instances {
					if err := s.start(i, ""); err != nil {
						return err
					}
				}
				return nil
			}},
		{key: "rolling", title: "rolling restart of all", several: true, begin: roll, heal: func(context.Context, *site) error { return nil }},
		{key: "overload", title: "3x the capacity for 10 s, 5% of it critical", overload: true},
	}
}

// telling gives instance 0 a command.
func telling(command string) func(context.Context, *site) error {
	return func(_ context.Context, s *site) error { return s.tell(0, command) }
}

// roll restarts one instance after another, as an orchestrator does: it is
// asked to stop, finishes what is under way, and another takes its address.
func roll(ctx context.Context, s *site) error {
	for i := range instances {
		if err := s.tell(i, doStop); err != nil {
			return err
		}
		s.reap(i)
		if err := pause(ctx, startTime); err != nil {
			return err
		}
		if err := s.start(i, ""); err != nil {
			return err
		}
		if err := pause(ctx, rollPause); err != nil {
			return err
		}
	}
	return nil
}

// pause waits, unless ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
