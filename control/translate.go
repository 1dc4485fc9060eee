package control

import (
	"bytes"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/naru-mesh/naru/dialect"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/source"
)

// translator hands documents to their dialects: each is parsed once for as
// long as its bytes and its place stay.
type translator struct {
	log      *slog.Logger
	dialects []dialect.Dialect
	written  []*parsed         // of the last round, in order
	serving  []*parsed         // the same with lost ones replaced
	last     []*model.Fragment // of each dialect, for when it panics
	items    []int             // how many each dialect had
}

// parsed is what became of one document.
type parsed struct {
	document source.Document
	dialect  int // -1 when no dialect claims it
	item     any
	problems []model.Problem
}

// lost says whether nothing of the document could be used, by mistake.
func (p *parsed) lost() bool { return p.item == nil && hasBroken(p.problems) }

func newTranslator(dialects []dialect.Dialect, log *slog.Logger) *translator {
	return &translator{log: log, dialects: dialects, last: make([]*model.Fragment, len(dialects)), items: make([]int, len(dialects))}
}

// all gives the fragments in the order of the dialects, and the Problems of
// documents and fragments. A document that cannot be read at all is replaced
// by what it was before.
func (t *translator) all(documents []source.Document) (fragments []*model.Fragment, problems []model.Problem) {
	written := make([]*parsed, len(documents))
	shift := len(t.written) - len(documents)
	known := t.known()
	for i, d := range documents {
		p := t.stood(d, i, i+shift)
		if p == nil {
			p = known(d.Sum)
		}
		if p == nil {
			p = t.parse(d, t.before(i, d))
		}
		written[i] = p
		problems = append(problems, p.problems...)
	}
	serving, notes := t.serve(written)
	problems = append(problems, notes...)
	t.written, t.serving = written, serving

	items := make([][]any, len(t.dialects))
	for i := range items {
		items[i] = make([]any, 0, t.items[i])
	}
	for _, p := range serving {
		if p.item != nil {
			items[p.dialect] = append(items[p.dialect], p.item)
		}
	}
	for i := range t.dialects {
		t.items[i] = len(items[i])
		f, failed := t.translate(i, items[i])
		if failed != nil {
			problems = append(problems, *failed)
		}
		fragments = append(fragments, f)
		problems = append(problems, f.Problems...)
	}
	return fragments, problems
}

// stood gives what a document was in the last round, if it stood at one of the
// places: mostly it did, counted from the front or from the end. It may have
// been on another line. Otherwise it gives nil.
func (t *translator) stood(d source.Document, places ...int) *parsed {
	for _, i := range places {
		if i >= 0 && i < len(t.written) && t.written[i].document.Sum == d.Sum {
			return t.written[i]
		}
	}
	return t.moved(d, places)
}

// known finds what the last round made of a document, wherever it stood; nil
// if it is new. A few are searched for.
func (t *translator) known() func(sum [32]byte) *parsed {
	const few = 4
	var bySum map[[32]byte]*parsed
	searched := 0
	return func(sum [32]byte) *parsed {
		if searched++; searched <= few {
			for _, p := range t.written {
				if p.document.Sum == sum {
					return p
				}
			}
			return nil
		}
		if bySum == nil {
			bySum = make(map[[32]byte]*parsed, len(t.written))
			for _, p := range t.written {
				bySum[p.document.Sum] = p
			}
		}
		return bySum[sum]
	}
}

// before gives what stood at the place of a document, if it had no Problem: the
// dialect may need to read only what is different. Otherwise nil.
func (t *translator) before(i int, d source.Document) *parsed {
	if i >= len(t.written) {
		return nil
	}
	p := t.written[i]
	if p.document.Path != d.Path || p.document.Line != d.Line || p.item == nil || len(p.problems) > 0 {
		return nil
	}
	return p
}

// moved makes a document of one that stood at one of the places, if it is the
// same but for its line and had no Problem. Otherwise it gives nil.
func (t *translator) moved(d source.Document, places []int) (p *parsed) {
	for _, i := range places {
		if i < 0 || i >= len(t.written) {
			continue
		}
		was := t.written[i]
		if was.document.Path != d.Path || was.item == nil || len(was.problems) > 0 || !bytes.Equal(was.document.Data, d.Data) {
			continue
		}
		l, ok := t.dialects[was.dialect].(dialect.Mover)
		if !ok {
			return nil
		}
		defer func() {
			if why := recover(); why != nil {
				t.log.Error("a dialect failed", "dialect", l.Name(), "place", place(d), "panic", why, "stack", string(debug.Stack()))
				p = nil // it is read anew
			}
		}()
		return &parsed{document: d, dialect: was.dialect, item: l.Move(was.item, was.document, d)}
	}
	return nil
}

// parse reads a document and gives it to the first dialect that claims it. was
// is what stood there before, or nil.
func (t *translator) parse(d source.Document, was *parsed) (p *parsed) {
	p = &parsed{document: d, dialect: -1}
	by := ""
	defer func() {
		if why := recover(); why != nil {
			t.log.Error("a dialect failed", "dialect", by, "place", place(d), "panic", why, "stack", string(debug.Stack()))
			p.item = nil
			p.problems = append(p.problems, defect(by, why, place(d)))
		}
	}()
	if was != nil {
		if l, ok := t.dialects[was.dialect].(dialect.Rereader); ok {
			by = l.Name()
			if p.item, ok = l.Reread(was.item, was.document, d); ok {
				p.dialect = was.dialect
				return p
			}
		}
	}
	read, problems := dialect.Read(d)
	p.problems = problems
	if read == nil || read.Root == nil {
		return p
	}
	for i, l := range t.dialects {
		by = l.Name()
		if !l.Claims(read) {
			continue
		}
		p.dialect = i
		item, problems := l.Parse(read)
		p.item = item
		p.problems = append(p.problems, problems...)
		return p
	}
	p.problems = append(p.problems, unclaimed(read))
	return p
}

// unclaimed says that nobody understands a document.
func unclaimed(d *dialect.Document) model.Problem {
	keys := d.Keys()
	message := "nothing says what this document is"
	if len(keys) > 0 {
		message = "no dialect knows a document with " + strings.Join(keys[:min(len(keys), 4)], ", ")
	}
	return model.Problem{
		Origin:   place(d.Document),
		Severity: model.Broken,
		Code:     "unknown-document",
		Message:  message,
		Hint:     "write routes:, or a Kubernetes object with apiVersion and kind",
	}
}

// translate asks a dialect for its nouns. When it fails, what it made before
// is used again.
func (t *translator) translate(i int, items []any) (f *model.Fragment, failed *model.Problem) {
	l := t.dialects[i]
	defer func() {
		if why := recover(); why != nil {
			t.log.Error("a dialect failed", "dialect", l.Name(), "panic", why, "stack", string(debug.Stack()))
			p := defect(l.Name(), why, model.Origin{})
			f, failed = t.last[i], &p
			if f == nil {
				f = &model.Fragment{}
			}
		}
	}()
	if f = l.Translate(items); f == nil {
		f = &model.Fragment{}
	}
	f = &model.Fragment{
		Listeners:    present(f.Listeners),
		Routes:       present(f.Routes),
		Flows:        present(f.Flows),
		Services:     present(f.Services),
		Certificates: present(f.Certificates),
		Workloads:    present(f.Workloads),
		Policies:     present(f.Policies),
		Traffic:      present(f.Traffic),
		Mesh:         f.Mesh,
		Settings:     f.Settings,
		Problems:     f.Problems,
	}
	t.last[i] = f
	return f, nil
}

// present leaves out what is nil.
func present[T any](list []*T) []*T {
	if !slices.Contains(list, nil) {
		return list
	}
	return slices.DeleteFunc(slices.Clone(list), func(x *T) bool { return x == nil })
}

func defect(by string, why any, at model.Origin) model.Problem {
	return model.Problem{
		Origin:   at,
		Severity: model.Broken,
		Code:     "internal",
		Message:  fmt.Sprintf("the dialect %s failed because of a defect: %v", by, why),
		Hint:     "what it made before goes on serving; please report it",
	}
}

// place is where a document begins.
func place(d source.Document) model.Origin {
	return model.Origin{Source: d.Path, Line: d.Line, Column: 1}
}

func hasBroken(problems []model.Problem) bool {
	return slices.ContainsFunc(problems, func(p model.Problem) bool { return p.Severity == model.Broken })
}
