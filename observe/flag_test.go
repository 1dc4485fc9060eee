package observe

import (
	"regexp"
	"slices"
	"testing"
)

// TestEveryReasonHasLettersOrSaysWhyNone: nobody adds a reason and forgets those
// who know Envoy's letters.
func TestEveryReasonHasLettersOrSaysWhyNone(t *testing.T) {
	t.Parallel()
	used := map[string]bool{"URX": true, "DI": true}
	for r := ReasonNone; r < Reasons; r++ {
		letters, none := r.Info().Flag, r.NoFlag()
		switch {
		case letters == "" && none == "":
			t.Errorf("%v has no letters and does not say why", r)
		case letters != "" && none != "":
			t.Errorf("%v has the letters %s and says why it has none", r, letters)
		case letters != "" && !slices.Contains(flagNames[:], letters):
			t.Errorf("%v has the letters %s, which are not in the list", r, letters)
		case r.Flags().String() != letters:
			t.Errorf("%v has the letters %s, and its flag is %s", r, letters, r.Flags())
		}
		used[letters] = true
	}
	for _, name := range flagNames {
		if !used[name] {
			t.Errorf("no reason has the letters %s", name)
		}
	}
}

// TestEveryReasonIsExplained: each code is a word, and says what it means and what
// to do.
func TestEveryReasonIsExplained(t *testing.T) {
	t.Parallel()
	word := regexp.MustCompile(`^[a-z0-9]+(_[a-z0-9]+)*$`)
	for r := ReasonNone + 1; r < Reasons; r++ {
		i := r.Info()
		if !word.MatchString(i.Code) || i.Title == "" || i.Means == "" || i.Do == "" {
			t.Errorf("reason %d is %+v", r, *i)
		}
		if found, ok := ReasonByCode(i.Code); !ok || found != r {
			t.Errorf("%s is found as %v", i.Code, found)
		}
	}
	if Reason(255).Info() != Internal.Info() {
		t.Error("a reason that does not exist is not internal")
	}
}

func TestFlags(t *testing.T) {
	t.Parallel()
	for want, f := range map[string]Flags{
		"": 0, "UF": ConnectRefused.Flags(), "URX,UF": ConnectRefused.Flags() | FlagURX, "URX,DI,UT": UpstreamTimeout.Flags() | FlagURX | FlagDI,
	} {
		if got := f.String(); got != want {
			t.Errorf("%b is %q, want %q", f, got, want)
		}
	}
}
