package route

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/naru-mesh/naru/model"
)

func randomScript(r *rand.Rand) *script {
	data := make([]byte, 64)
	for i := range data {
		data[i] = byte(r.Uint32())
	}
	return &script{data}
}

// compareTables wants of both the same winners, captures and explanations.
func compareTables(t *testing.T, r *rand.Rand, got, want *Table, entries []Entry) {
	t.Helper()
	var a, b Hit
	for range 15 {
		h, host := randomScript(r).request()
		gotOK, wantOK := got.Find(h, []byte(host), &a), want.Find(h, []byte(host), &b)
		if gotOK != wantOK || gotOK && (a.Rule != b.Rule || a.Matched != b.Matched || !reflect.DeepEqual(a.Params[:a.N], b.Params[:b.N])) {
			t.Fatalf("%s %s%s?%s: found %v %d, want %v %d\n%+v", h.Method, host, h.Path, h.Query, gotOK, a.Rule, wantOK, b.Rule, entries)
		}
		if x, y := got.Explain(h, []byte(host)), want.Explain(h, []byte(host)); !reflect.DeepEqual(x, y) {
			t.Fatalf("%s %s%s?%s: explained\n%+v, want\n%+v", h.Method, host, h.Path, h.Query, x, y)
		}
	}
}

// However entries change, a Table made from the one before finds what one made
// from nothing finds, and the one before finds what it always did.
func TestEdit(t *testing.T) {
	t.Parallel()
	edited := 0
	for seed := range uint64(8) {
		r := rand.New(rand.NewPCG(seed, 1))
		fresh := func() Entry {
			e := randomScript(r).entry(0)
			if r.IntN(3) == 0 { // a segment beyond what a node has room for, and of its own
				e.Match.PathKind, e.Match.Path = model.PathPrefix, fmt.Sprintf("/a/%050d", r.IntN(4))
			}
			if r.IntN(5) == 0 {
				e.Hostnames = []string{fmt.Sprintf("%d.example.com", r.IntN(3)), "*.example.com", "*.Example.com"}
			}
			return e
		}
		number := func(entries []Entry) []Entry {
			for i := range entries {
				entries[i].Rule = int32(i)
			}
			return entries
		}
		var entries []Entry
		for range 20 + r.IntN(60) {
			entries = append(entries, fresh())
		}
		table, _ := Build(number(entries), nil)
		for range 20 {
			now := slices.Clone(entries)
			for range r.IntN(4) {
				at := r.IntN(len(now))
				switch r.IntN(6) {
				case 0:
					now = slices.Insert(now, at, fresh())
				case 1:
					now = slices.Delete(now, at, at+1)
				case 2:
					now[at].Order.Index = r.IntN(3)
				case 3:
					other := r.IntN(len(now))
					now[at], now[other] = now[other], now[at]
				default:
					now[at] = fresh()
				}
			}
			before, _ := Build(entries, nil)
			if table.edit(number(now)) != nil {
				edited++
			}
			next, errs := Build(now, table)
			if errs != nil {
				t.Fatal(errs)
			}
			want, _ := Build(now, nil)
			compareTables(t, r, next, want, now)
			compareTables(t, r, table, before, entries)
			entries, table = now, next
		}
	}
	if edited < 100 {
		t.Errorf("only %d of 160 Tables were edits of the one before", edited)
	}
}

// Waste does not gather: after many changes all is built anew.
func TestEditIsBounded(t *testing.T) {
	t.Parallel()
	entries := layout(400, true)
	first, _ := Build(entries, nil)
	table := first
	for i := range 600 {
		entries = slices.Clone(entries)
		at := i % len(entries)
		entries[at].Match.PathKind, entries[at].Match.Path = model.PathRegex, fmt.Sprintf("/new/%d/.*", i)
		entries[at].Hostnames = []string{fmt.Sprintf("h%d.example.com", i)}
		table, _ = Build(entries, table)
	}
	if len(table.nodes) > 3*len(first.nodes) || len(table.regexes) > 2*len(entries) || len(table.links) > 2*len(first.links) {
		t.Errorf("%d nodes, %d links, %d regexes", len(table.nodes), len(table.links), len(table.regexes))
	}
}

// A mistake is told again at every Build.
func TestEditOfMistakes(t *testing.T) {
	t.Parallel()
	entries := layout(100, true)
	good, _ := Build(entries, nil)
	bad := slices.Clone(entries)
	bad[50].Match.Path = "no slash"
	table, errs := Build(bad, good)
	if len(errs) != 1 || errs[0].Index != 50 {
		t.Fatal(errs)
	}
	if _, errs = Build(bad, table); len(errs) != 1 {
		t.Error("the mistake is not told again")
	}
	if _, errs = Build(entries, table); errs != nil {
		t.Error(errs)
	}
}

// same must look at every field: whoever adds one to these adds it there.
func TestSameKnowsAllFields(t *testing.T) {
	t.Parallel()
	for typ, n := range map[reflect.Type]int{
		reflect.TypeFor[Entry](): 5, reflect.TypeFor[model.Match](): 6,
	} {
		if typ.NumField() != n {
			t.Errorf("%v has %d fields, and same compares %d", typ, typ.NumField(), n)
		}
	}
}

func BenchmarkEdit(b *testing.B) {
	entries := layout(10_000, true)
	other := slices.Clone(entries)
	other[5000].Match.Path += "/x"
	table, _ := Build(entries, nil)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if i++; i%2 == 1 {
			table, _ = Build(other, table)
		} else {
			table, _ = Build(entries, table)
		}
	}
}
