package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	rate     = 300.0 // requests a second of a turn
	patience = 5 * time.Second
	// calmTries is how often a quiet time is waited for that is quiet: others
	// use the machine, too.
	calmTries = 3
)

// turn gives one proxy its turn at a fault.
func (b *bench) turn(ctx context.Context, k *kind, r *row, number int) (f figures, err error) {
	s, err := b.newSite(ctx, k, r, number)
	if err != nil {
		return f, err
	}
	defer s.close()
	c := &crowd{addr: s.job.listen, patience: patience, id: k.name, start: time.Now()}
	now := func() time.Duration { return time.Since(c.start) }
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		c.run(ctx, rate, time.Hour) // until it is stopped
	}()
	m, disturbed := moments{}, false
	script := func() error {
		if err := pause(ctx, warmTime); err != nil {
			return err
		}
		if r.before != nil {
			if err := r.before(ctx, s); err != nil {
				return err
			}
		}
		for range calmTries {
			m.quiet = now()
			if err := pause(ctx, quietTime); err != nil {
				return err
			}
			m.fault = now()
			if disturbed = c.quantile(m.quiet, m.fault) > restless; !disturbed {
				break
			}
		}
		if err := r.begin(ctx, s); err != nil {
			return err
		}
		lasts := faultTime
		if r.lasts > 0 {
			lasts = r.lasts
		}
		if err := pause(ctx, m.fault+lasts-now()); err != nil {
			return err
		}
		if err := r.heal(ctx, s); err != nil {
			return err
		}
		m.healed = now()
		return pause(ctx, afterTime)
	}
	err = script()
	m.end = now()
	stop()
	<-sent
	all := c.done()
	if err != nil {
		return f, err
	}
	m.from = m.fault
	if r.outage {
		m.from = m.healed
	}
	m.there = m.healed
	if r.returns {
		m.there = m.fault
	}
	if r.several {
		m.broken = -1
	}
	f = figure(all, m)
	f.Twice, f.Dropped, f.Disturbed = s.twice(), s.net.dropped(), disturbed
	return f, nil
}

// Overload: three times what the service can do, then half of it.
const (
	overTime     = 10 * time.Second
	overFactor   = 3
	overQuiet    = 0.5 // of the capacity, before and after
	overAfter    = 8 * time.Second
	overPatience = time.Second // clients that wait longer have left
)

// pressed is what a turn of overload came to.
type pressed struct {
	Goodput      float64 // share of the capacity
	Critical     float64 // share of the critical requests that went well
	Quiet, Peak  float64 // memory, MiB
	Recovery     time.Duration
	P99          time.Duration // of what went well under load
	Offered, Bad int
	Why          map[string]int
}

// overload gives one proxy its turn under too much load.
func (b *bench) overload(ctx context.Context, k *kind, r *row) (p pressed, err error) {
	s, err := b.newSite(ctx, k, r, 0)
	if err != nil {
		return p, err
	}
	defer s.close()
	c := &crowd{addr: s.job.listen, patience: overPatience, critical: true, start: time.Now()}
	quiet := capacity * overQuiet
	watched := s.watch()
	c.run(ctx, quiet, warmTime+quietTime)
	p.Quiet = float64(s.memory()) / (1 << 20)
	from := warmTime + quietTime
	to := from + overTime
	c.run(ctx, capacity*overFactor, to)
	c.run(ctx, quiet, to+overAfter)
	all := c.done()
	p.Peak = float64(watched()) / (1 << 20)
	if ctx.Err() != nil {
		return p, ctx.Err()
	}
	press(&p, all, from, to, to+overAfter)
	return p, nil
}

// press fills in what samples say: load was too much between two times.
func press(p *pressed, all []sample, from, to, end time.Duration) {
	p.Why = map[string]int{}
	var good []sample
	critical, criticalGood := 0, 0
	for _, s := range all {
		if s.due < from || s.due >= to {
			continue
		}
		p.Offered++
		if s.critical {
			critical++
		}
		if s.failed != "" {
			p.Bad++
			p.Why[s.failed]++
			continue
		}
		good = append(good, s)
		if s.critical {
			criticalGood++
		}
	}
	p.Goodput = float64(len(good)) / (capacity * (to - from).Seconds())
	p.Critical = float64(criticalGood) / float64(max(critical, 1))
	p.P99 = percentile(good, from, to, quantile)
	p.Recovery = recovery(all, to, end, percentile(all, warmTime, from, quantile))
}

// watch looks at the proxy's memory until the function that it gives is called,
// which gives the most that was seen.
func (s *site) watch() func() int64 {
	const every = 100 * time.Millisecond
	stop, done := make(chan struct{}), make(chan int64)
	go func() {
		most := s.memory()
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				done <- most
				return
			case <-tick.C:
				most = max(most, s.memory())
			}
		}
	}()
	return func() int64 { close(stop); return <-done }
}

// together gives all proxies their turn at a row, at the same time or each
// apart. What one could not do does not take away the others' figures.
func (b *bench) together(ctx context.Context, r *row, apart bool, round int) (map[string]figures, error) {
	out := map[string]figures{}
	errs := make([]error, len(b.kinds))
	var mu sync.Mutex
	var all sync.WaitGroup
	for i := range b.kinds {
		// Who goes first rotates.
		n := (i + round) % len(b.kinds)
		k := b.kinds[n]
		one := func() {
			f, err := b.turn(ctx, k, r, n)
			if err != nil {
				errs[n] = fmt.Errorf("%s, %s: %w", r.title, k.name, err)
				return
			}
			mu.Lock()
			out[k.name] = f
			mu.Unlock()
		}
		if apart {
			one()
			continue
		}
		all.Go(one)
	}
	all.Wait()
	return out, errors.Join(errs...)
}
