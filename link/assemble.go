package link

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/naru-mesh/naru/model"
)

// set is what a client has: each resource, and what it became. One goroutine
// changes it.
type set struct {
	settings model.Settings
	held     map[Name]*held
	// config is the nouns of held, by name; nil: to be made of it. What few updates
	// change is changed in it.
	config    *model.Config
	validator model.Validator
	freezer   model.Freezer
}

// held is a resource that was taken.
type held struct {
	sum  string
	body string // "" with a Sink
	noun any    // nil: of a kind that is not known here, or with a Sink
}

func (s *set) init(settings model.Settings) {
	s.settings, s.held, s.config = settings, map[Name]*held{}, nil
}

func (s *set) have() []have {
	out := make([]have, 0, len(s.held))
	for n, h := range s.held {
		out = append(out, have{n.Kind, n.Name, h.sum})
	}
	return out
}

func (s *set) digest() (count int, digest uint64) {
	for n, h := range s.held {
		digest ^= markOf(n, h.sum)
	}
	return len(s.held), digest
}

// remember is apply for a Sink.
func (s *set) remember(list []Resource, removed []Name, sink func(Resource)) {
	for _, r := range list {
		s.held[r.Name] = &held{sum: r.Sum}
		sink(r)
	}
	for _, n := range removed {
		delete(s.held, n)
		sink(Resource{Name: n})
	}
}

// apply takes what is good of an update and gives the Snapshot of all there is
// then. A resource that cannot be read, or that Validate would drop or change,
// is refused: the one before stays. lock is held while held is written to.
func (s *set) apply(list []Resource, removed []Name, lock sync.Locker) (refused []Refusal, snapshot *model.Snapshot) {
	// before is what was there of what has changed; nil: nothing.
	before := make(map[Name]*held, len(list))
	lock.Lock()
	for i := range list {
		r := &list[i]
		old := s.held[r.Name]
		noun, err := r.noun()
		if err != nil {
			refused = append(refused, malformed(r.Name, old, err))
			continue
		}
		before[r.Name] = old
		s.held[r.Name] = &held{sum: r.Sum, body: r.Body, noun: noun}
	}
	for _, n := range removed {
		delete(s.held, n)
	}
	lock.Unlock()
	changed := append(slices.Collect(maps.Keys(before)), removed...)
	// Going back can make something else invalid that came with it: as often as
	// it takes, each time with less that is new.
	for {
		s.assemble(changed)
		valid, problems := s.validator.Validate(s.config)
		again := false
		changed = changed[:0]
		lock.Lock()
		for n, old := range before {
			h := s.held[n]
			if h == nil || h.noun == nil {
				continue
			}
			if has(valid, n, h.noun) {
				continue
			}
			refused = append(refused, invalid(n, originOf(h.noun), problems))
			again = true
			changed = append(changed, n)
			delete(before, n)
			if old != nil && old.noun != nil {
				s.held[n] = old
			} else {
				delete(s.held, n)
			}
		}
		lock.Unlock()
		if !again {
			slices.SortFunc(refused, func(a, b Refusal) int { return strings.Compare(a.Name, b.Name) })
			return refused, s.freezer.Freeze(valid)
		}
	}
}

// fewChanges are so many resources that putting each in its place is less work
// than sorting all.
const fewChanges = 32

// assemble makes config what is held, where the resources named have changed.
func (s *set) assemble(changed []Name) {
	if s.config == nil || len(changed) > fewChanges {
		c := &model.Config{Settings: s.settings}
		for _, h := range s.held {
			if h.noun != nil {
				add(c, h.noun)
			}
		}
		// The order of a map is none; Validate wants that of the names.
		sortAll(c)
		s.config = c
		return
	}
	next := lists{Config: *s.config}
	for _, n := range changed {
		var noun any
		if h := s.held[n]; h != nil {
			noun = h.noun
		}
		next.put(n, noun)
	}
	s.config = &next.Config
}

// malformed refuses what cannot be read. Where it was written only the server
// knows; what was there before may say it, too.
func malformed(n Name, old *held, err error) Refusal {
	r := Refusal{Kind: n.Kind, Name: n.Name, Message: err.Error()}
	var f *fieldError
	if errors.As(err, &f) {
		r.Field, r.Message = f.path, "malformed: "+f.why
	}
	if old != nil {
		r.Origin = originOf(old.noun)
	}
	return r
}

// invalid refuses what does not pass Validate, with the Problem that is about it.
func invalid(n Name, origin model.Origin, problems []model.Problem) Refusal {
	r := Refusal{Kind: n.Kind, Name: n.Name, Origin: origin, Message: "it is not valid together with what this proxy has"}
	for _, p := range problems {
		same := p.Origin.Source == origin.Source && p.Origin.Line == origin.Line && p.Origin.Object == origin.Object
		if p.Severity == model.Broken && (same || origin == (model.Origin{}) && strings.Contains(p.Message, n.Name)) {
			r.Message = p.Message
			if p.Hint != "" {
				r.Message += " (" + p.Hint + ")"
			}
			if p.Origin != (model.Origin{}) {
				r.Origin = p.Origin
			}
			r.Field = p.Origin.Field
			break
		}
	}
	return r
}
