package main

import (
	"cmp"
	"slices"
	"time"
)

// sample is one request, as its client saw it.
type sample struct {
	due      time.Duration // since the load began
	took     time.Duration // from when it was due to its end
	failed   string        // why; "" when all is well
	post     bool
	critical bool
	by       int // number of the instance that answered; -1 unknown
}

// percentile gives the duration that the share q of the samples between two
// times of being due does not exceed, failed ones included; 0 without any.
func percentile(all []sample, from, to time.Duration, q float64) time.Duration {
	var took []time.Duration
	for i := range all {
		if s := &all[i]; s.due >= from && s.due < to {
			took = append(took, s.took)
		}
	}
	if len(took) == 0 {
		return 0
	}
	slices.Sort(took)
	// Nearest rank: the least that at least q of all do not exceed.
	n := int(q*float64(len(took)) + 0.9999999)
	return took[min(max(n, 1), len(took))-1]
}

const (
	calm     = 2 * time.Second        // what must be normal to be recovered
	step     = 100 * time.Millisecond // of looking for it
	noise    = 10 * time.Millisecond  // below it nothing is called slow
	tooSlow  = 2                      // times the quiet 99th percentile
	restless = 20 * time.Millisecond  // a quiet time with more is not quiet
	never    = time.Duration(-1)
	quantile = 0.99
)

// recovery gives the time from the fault until calm begins: no failure and a
// 99th percentile within limits of quiet, that before the fault. end is when
// load ended. It is never when no such time comes.
func recovery(all []sample, fault, end, quiet time.Duration) time.Duration {
	limit := max(tooSlow*quiet, noise)
	for at := fault; at+calm <= end; at += step {
		if failures(all, at, at+calm) == 0 && percentile(all, at, at+calm, quantile) <= limit {
			return at - fault
		}
	}
	return never
}

func failures(all []sample, from, to time.Duration) int {
	n := 0
	for i := range all {
		if s := &all[i]; s.due >= from && s.due < to && s.failed != "" {
			n++
		}
	}
	return n
}

// back gives the time from when a fault healed until the instance answered a
// user well, never when it did not.
func back(all []sample, instance int, healed time.Duration) time.Duration {
	first := never
	for i := range all {
		s := &all[i]
		at := s.due + s.took
		if s.by == instance && s.failed == "" && s.due >= healed && (first == never || at-healed < first) {
			first = at - healed
		}
	}
	return first
}

// figures are what one turn came to.
type figures struct {
	Gets, Posts             int // due from the fault on, or from when instances are back
	GetsFailed, PostsFailed int
	Down, DownFailed        int // due while there was no instance
	Twice                   int // POSTs that were done more than once
	Quiet, During           time.Duration
	Recovery, Back          time.Duration // or never
	Dropped                 uint64        // packets, by our rules
	Disturbed               bool          // it was never quiet
	Why                     map[string]int
}

// moments of a turn, since load began.
type moments struct {
	quiet, fault, healed, end time.Duration
	broken                    int // the instance that healed, -1 for several
	// from is what failures and recovery count from: the fault, or where no
	// instance was left, the moment at which they are back: until then nobody
	// can do anything.
	from time.Duration
	// there is when the broken instance can be asked again: when the fault has
	// healed, or at once where its return is the fault.
	there time.Duration
}

func figure(all []sample, m moments) figures {
	f := figures{Why: map[string]int{}, Back: never}
	for i := range all {
		s := &all[i]
		if s.due < m.fault || s.due >= m.end {
			continue
		}
		if s.due < m.from {
			f.Down++
			if s.failed != "" {
				f.DownFailed++
			}
			continue
		}
		count, failed := &f.Gets, &f.GetsFailed
		if s.post {
			count, failed = &f.Posts, &f.PostsFailed
		}
		*count++
		if s.failed != "" {
			*failed++
			f.Why[s.failed]++
		}
	}
	f.Quiet = percentile(all, m.quiet, m.fault, quantile)
	f.During = percentile(all, m.fault, m.healed, quantile)
	f.Recovery = recovery(all, m.from, m.end, f.Quiet)
	if m.broken >= 0 {
		f.Back = back(all, m.broken, m.there)
	}
	return f
}

// median of the rounds; with an even number, the worse of the middle two.
func median[T cmp.Ordered](list []T) T {
	var zero T
	if len(list) == 0 {
		return zero
	}
	list = slices.Clone(list)
	slices.Sort(list)
	return list[len(list)/2]
}

// medianTime is median for times that may be never, which is more than any.
func medianTime(list []time.Duration) time.Duration {
	const endless = time.Duration(1<<63 - 1)
	list = slices.Clone(list)
	for i, d := range list {
		if d == never {
			list[i] = endless
		}
	}
	if m := median(list); m != endless {
		return m
	}
	return never
}
