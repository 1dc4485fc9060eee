package upstream

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/naru-mesh/naru/model"
)

// chosen lists what was counted, as WHY N, with - before what was passed over.
func (w *world) choices(name string) string {
	var list []string
	st := w.stats(name)
	st.Choices.Each(func(skip bool, why string, n uint64) {
		if skip {
			why = "-" + why
		}
		list = append(list, fmt.Sprint(why, " ", n))
	})
	return strings.Join(list, ", ")
}

// TestWhyChosen: each kind of choice is told of the try and counted.
func TestWhyChosen(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	ask := func(name string, a *Ask) *Endpoint {
		t.Helper()
		conn, ep, why := w.cluster(name).Pick(w.loops[0], a)
		if conn == nil {
			t.Fatalf("nothing was chosen: %v", why)
		}
		return ep
	}
	hashed := service("hashed", 2)
	hashed.Balance, hashed.Hash = model.RingHash, []model.HashKey{{Kind: model.HashSource}}
	first := service("tiers", 2)
	first.Endpoints[1].Priority = 1
	w.apply(service("one", 1), service("two", 2), hashed, first)

	a := &Ask{}
	ask("one", a)
	if a.Chosen != Alone || w.choices("one") != "only 1" {
		t.Errorf("of one: %v, counted %s", a.Chosen, w.choices("one"))
	}

	a = &Ask{Tried: &Tried{}}
	ep := ask("two", a)
	if a.Chosen != Balanced {
		t.Errorf("of two: %v", a.Chosen)
	}
	a.Tried.Add(ep)
	another := ask("two", &Ask{Tried: a.Tried})
	w.cluster("two").Sessions()
	a = &Ask{Session: w.cluster("two").Token(ep)}
	if ask("two", a) != ep || a.Chosen != Kept {
		t.Errorf("a session: %v", a.Chosen)
	}
	another.connectFailed(w.loops[0].now)
	for range 20 {
		ask("two", &Ask{})
	}
	a = &Ask{Session: w.cluster("two").Token(another)}
	if ask("two", a) != ep || a.Chosen == Kept {
		t.Errorf("a session that is lost: %v", a.Chosen)
	}
	counted := w.choices("two")
	for _, want := range []string{"balanced 22", "elsewhere 1", "session 1", "-session 1", "-aside"} {
		if !strings.Contains(counted, want) {
			t.Errorf("%s is not among %s", want, counted)
		}
	}

	a = &Ask{Hash: 7, Hashed: true}
	ask("hashed", a)
	if a.Chosen != Hashed || w.choices("hashed") != "hashed 1" {
		t.Errorf("by a key: %v, counted %s", a.Chosen, w.choices("hashed"))
	}

	a = &Ask{Tried: &Tried{}}
	a.Tried.Add(ask("tiers", a))
	if a.Chosen != Balanced {
		t.Errorf("of the first priority: %v", a.Chosen)
	}
	a = &Ask{Tried: a.Tried}
	ask("tiers", a)
	if a.Chosen != Spilled || w.choices("tiers") != "balanced 1, spilled 1, -tried 1" {
		t.Errorf("of the second priority: %v, counted %s", a.Chosen, w.choices("tiers"))
	}
}

// TestChoicesHaveNames: none is told twice, none is not told.
func TestChoicesHaveNames(t *testing.T) {
	t.Parallel()
	var names []string
	for c := range choiceCount {
		names = append(names, c.String())
	}
	for s := noSkip + 1; s < skipCount; s++ {
		names = append(names, "-"+s.String())
	}
	slices.Sort(names)
	if slices.Contains(names, "") || len(slices.Compact(names)) != int(choiceCount)+int(skipCount)-1 {
		t.Errorf("names %q", names)
	}
}
