package control

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/naru-mesh/naru/dialect"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/source"
)

// Options say what a Control works with.
type Options struct {
	// Sources in order of precedence: of two nouns with one name, that of the
	// first source serves.
	Sources []source.Source
	// Dialects in the order in which they are asked to claim a document.
	Dialects []dialect.Dialect
	// Log gets every Problem when it comes and when it goes; nil is silence.
	Log *slog.Logger
	// Now is the clock, time.Now where it is nil.
	Now func() time.Time
}

// Control is a model.Feed made of sources.
type Control struct {
	options Options
	gather  *gather
	round   *round // Run's own

	mu      sync.Mutex // guards what follows
	report  Report
	newest  *model.Snapshot
	changed chan struct{} // closed, and made anew, when report changes
	rounds  uint64
	took    time.Duration // the last round
}

// Report is how things stand after a round.
type Report struct {
	// Number counts the reports that differ, from 1; 0 is "none yet".
	Number uint64 `json:"number"`
	// Version serves, since Since.
	Version model.Version `json:"version"`
	Since   time.Time     `json:"since"`
	// Took is how long reading it took, until Since.
	Took time.Duration `json:"took"`
	// Problems by place.
	Problems []model.Problem `json:"problems"`
}

// New makes a Control; nothing happens until Run.
func New(o Options) *Control {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Control{
		options: o,
		gather:  newGather(len(o.Sources)),
		round:   newRound(o.Dialects, o.Log),
		changed: make(chan struct{}),
	}
}

// Run watches the sources and does a round whenever one changes, until ctx
// ends. The first round waits until every source has been read once, so that
// no Snapshot lacks a part that is only late. It is called once.
func (c *Control) Run(ctx context.Context) {
	var watching sync.WaitGroup
	for i, s := range c.options.Sources {
		watching.Go(func() { c.gather.watch(ctx, i, s) })
	}
	for {
		sets, ok := c.gather.next(ctx)
		if !ok {
			break
		}
		began := c.options.Now()
		snapshot, problems := c.round.do(sets)
		c.publish(snapshot, problems, c.options.Now().Sub(began))
	}
	watching.Wait()
}

var _ model.Feed = (*Control)(nil)
