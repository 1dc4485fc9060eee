package control

import (
	"fmt"
	"log/slog"
	"runtime/debug"

	"github.com/naru-mesh/naru/dialect"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/source"
)

// round does one round after another and remembers of each what the next may
// need: parsed documents, the nouns that served, the frozen ones.
type round struct {
	log       *slog.Logger
	translate *translator
	validator model.Validator
	freezer   model.Freezer

	retain retainer
	merged *model.Config   // of the last round, with what was retained
	valid  *model.Config   // of the last round
	frozen *model.Snapshot // of the last round
}

func newRound(dialects []dialect.Dialect, log *slog.Logger) *round {
	return &round{log: log, translate: newTranslator(dialects, log)}
}

// do makes a Snapshot of the newest Sets, and the Problems by place. When naru
// itself fails the Snapshot is that of the round before (nil if there was
// none): a defect must not end what serves.
func (r *round) do(sets []source.Set) (s *model.Snapshot, problems []model.Problem) {
	defer func() {
		if why := recover(); why != nil {
			r.log.Error("a round of the configuration failed", "panic", why, "stack", string(debug.Stack()))
			s, problems = r.frozen, []model.Problem{{
				Severity: model.Broken,
				Code:     "internal",
				Message:  fmt.Sprintf("naru could not read this configuration, because of a defect: %v", why),
				Hint:     "what served before goes on; please report it",
			}}
		}
	}()
	documents, problems := documents(sets)
	fragments, more := r.translate.all(documents)
	problems = append(problems, more...)
	merged, more := merge(fragments, documents)
	problems = append(problems, more...)
	problems = append(problems, r.retain.round(merged, r.merged, problems)...)
	valid, more := r.validate(merged)
	problems = append(problems, more...)
	frozen := r.freezer.Freeze(valid)
	r.merged, r.valid, r.frozen = merged, &frozen.Config, frozen
	return frozen, arrange(problems)
}

// documents gives all documents in order of precedence. A file that is named
// twice counts once.
func documents(sets []source.Set) (all []source.Document, problems []model.Problem) {
	n := 0
	for _, s := range sets {
		n += len(s.Documents)
	}
	all = make([]source.Document, 0, n)
	seen := make(map[[32]byte]struct{}, n)
	for _, s := range sets {
		problems = append(problems, s.Problems...)
		for _, d := range s.Documents {
			if _, twice := seen[d.Sum]; !twice {
				seen[d.Sum] = struct{}{}
				all = append(all, d)
			}
		}
	}
	return all, problems
}

// Check does one round with nothing before it, so nothing old is retained.
func Check(sets []source.Set, dialects []dialect.Dialect) (*model.Snapshot, []model.Problem) {
	return newRound(dialects, slog.New(slog.DiscardHandler)).do(sets)
}
