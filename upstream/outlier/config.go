package outlier

import "time"

// Config are the bounds of a Group. A number that is 0 is its default; a
// negative one switches its detector off.
type Config struct {
	// Failures is how many requests in a row fail until the endpoint is ejected,
	// default 5.
	Failures int
	// Connects is the same for connections that could not be made, default 5.
	Connects int
	// SuccessRate is below what share of good answers within Window an endpoint
	// is ejected, default 0.8.
	SuccessRate float64
	// Deviation is how many standard deviations below the mean of the peers a
	// success rate may be, default 1.9.
	Deviation float64
	// Slowness is how many times the median latency of the peers that of an
	// endpoint may be, default 3.
	Slowness float64
	// MaxEjected is the share of the group that may be out: none more is ejected
	// when that much is. Default 0.5; negative ejects none.
	MaxEjected float64
	// Backoff is how long the first ejection lasts, default 1 s; each further
	// one takes twice as long, up to MaxBackoff, default 60 s. Up to half of it is
	// added at random, so that many gateways do not probe at the same time.
	Backoff, MaxBackoff time.Duration
}

// Fixed bounds. They are no settings because nobody should need to know them.
const (
	// Window is what the success rate is taken over, in Slots parts.
	Window = 10 * time.Second
	Slots  = 10
	slot   = Window / Slots
	// certainRow failures in a row are no chance, where peers are compared.
	certainRow = 3
	// recent is how many slots, that which runs included, show how it is now: what
	// got better is not ejected for what was, and what broke is not spared for it.
	recent = 3

	// leastRequests make a rate. Whether so few are enough is for certainty to
	// say: a rate counts when it is too low with 99.5% confidence (the bound of
	// Wilson's interval), so 4 failures of 5 do, and 3 of 5 or 5 of 10 do not. An
	// endpoint that fails one request in twenty is ejected by chance in fewer
	// than one of 10,000 windows.
	leastRequests = 5
	certainty     = 2.576

	// The mean of the peers needs leastPeers endpoints of leastEach requests
	// each. leastBelow is how far below the mean a rate is worth acting on: of
	// peers that all succeed at 99.9%, one with 99% is no outlier.
	leastPeers = 5
	leastEach  = 100
	leastBelow = 0.05

	// Latency is compared every slowWindow: the median of what an endpoint has
	// answered since its last one, leastTimed answers or more, with the median
	// of the medians of its peers, leastTimers or more, none older than
	// slowMemory. An endpoint is slow when it was slowWindows times in a row, and
	// by leastSlower at least: of peers at 1 ms one at 4 ms is not worth losing
	// its capacity.
	slowWindow  = 2 * time.Second
	slowWindows = 3
	slowMemory  = 30 * time.Second
	leastTimed  = 20
	leastTimers = 2
	leastSlower = 10 * time.Millisecond

	// An endpoint is silent when leastPending requests or more wait for it, and it
	// has answered none for silence, while leastTimed were answered elsewhere.
	leastPending = 5
	silence      = 2 * time.Second

	// ProbeTime is after what a probe that nobody has heard of counts as failed.
	ProbeTime = 10 * time.Second
	// calm is how long an endpoint must be well, and twice its last back-off,
	// until its ejections are forgotten.
	calm = 30 * time.Second
)

// Filled gives c with its defaults.
func (c Config) Filled() Config {
	fill(&c.Failures, 5)
	fill(&c.Connects, 5)
	fill(&c.SuccessRate, 0.8)
	fill(&c.Deviation, 1.9)
	fill(&c.Slowness, 3)
	fill(&c.MaxEjected, 0.5)
	fill(&c.Backoff, time.Second)
	fill(&c.MaxBackoff, time.Minute)
	c.MaxBackoff = max(c.MaxBackoff, c.Backoff)
	return c
}

func fill[T int | float64 | time.Duration](v *T, def T) {
	if *v == 0 {
		*v = def
	}
}
