package control

import (
	"bytes"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"

	"github.com/naru-mesh/naru/dialect"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/source"
	"github.com/naru-mesh/naru/traffic"
)

// round does one round after another and remembers of each what the next may
// need: parsed documents, the nouns that served, the frozen ones.
type round struct {
	log       *slog.Logger
	translate *translator
	validator model.Validator
	freezer   model.Freezer
	policies  traffic.Lowering // for what is wrong with policies; proxies do it for themselves

	orders orders
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
	if p, gone := r.vanished(documents); gone {
		return r.frozen, arrange(append(problems, p))
	}
	fragments, more := r.translate.all(documents)
	problems = append(problems, more...)
	merged, more := merge(fragments, documents, &r.orders)
	problems = append(problems, more...)
	problems = append(problems, r.retain.round(merged, r.merged, problems)...)
	valid, more := r.validate(merged)
	problems = append(problems, more...)
	r.policies.Lower(valid)
	problems = append(problems, r.policies.Problems(valid)...)
	frozen := r.freezer.Freeze(valid)
	r.merged, r.valid, r.frozen = merged, &frozen.Config, frozen
	return frozen, arrange(problems)
}

// vanished says that nothing is written any more where there was something
// that served. An emptied file is a slip (a failed template, a shell's ">"),
// not a wish to close every port; who wants that stops naru.
func (r *round) vanished(documents []source.Document) (model.Problem, bool) {
	if r.frozen == nil || len(r.frozen.Listeners) == 0 {
		return model.Problem{}, false
	}
	p := model.Problem{
		Origin:   model.Origin{Source: r.frozen.Listeners[0].Origin.Source},
		Severity: model.Broken,
		Code:     "empty-configuration",
		Message:  "there is no configuration any more",
		Hint:     "what served before goes on; stop naru to close its ports",
	}
	for _, d := range documents {
		p.Origin.Source = d.Path
		for line := range bytes.Lines(d.Data) {
			line = bytes.TrimSpace(line)
			if len(line) > 0 && line[0] != '#' && string(line) != "---" {
				return model.Problem{}, false
			}
		}
	}
	return p, true
}

// documents gives all documents in order of precedence. A file that two sources
// name counts once; one source gives no document twice.
func documents(sets []source.Set) (all []source.Document, problems []model.Problem) {
	if len(sets) == 1 {
		return sets[0].Documents, slices.Clone(sets[0].Problems)
	}
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
