package control

import (
	"bytes"
	"slices"

	"github.com/naru-mesh/naru/model"
)

// served is a document as it stood in its file, and the version of it that
// served: itself, or, while it could not be read, the last one that could.
type served struct {
	written []byte
	by      *parsed
}

// serve gives what to translate: what is written, with each document that is
// lost replaced by its last good version; and says so.
func (t *translator) serve(written []*parsed) (serving []*parsed, notes []model.Problem) {
	now := map[string][]*parsed{} // by file, of files with a lost document
	for _, p := range written {
		if p.lost() {
			now[p.document.Path] = nil
		}
	}
	if len(now) == 0 {
		return written, nil
	}
	old := map[string][]served{}
	for i, p := range t.written {
		if path := p.document.Path; has(now, path) {
			old[path] = append(old[path], served{p.document.Data, t.serving[i]})
		}
	}
	for _, p := range written {
		if path := p.document.Path; has(now, path) {
			now[path] = append(now[path], p)
		}
	}
	serving = slices.Clone(written)
	for i, p := range written {
		if !p.lost() {
			continue
		}
		path := p.document.Path
		good := before(old[path], now[path], slices.Index(now[path], p))
		if good == nil {
			continue
		}
		serving[i] = good
		notes = append(notes, model.Problem{
			Origin:   place(p.document),
			Severity: model.Doubtful,
			Code:     "old-serves",
			Message:  "this document cannot be read, so what it was before (" + place(good.document).String() + ") goes on serving",
		})
	}
	return serving, notes
}

func has[T any](m map[string]T, key string) bool {
	_, ok := m[key]
	return ok
}

// before finds what the document now[j] of a file, which is lost, was in the
// round before: the same text if it was lost then too, else what stood at its
// place between the same neighbours. nil when that cannot be said.
func before(old []served, now []*parsed, j int) *parsed {
	good := func(i int) *parsed {
		if i < 0 || i >= len(old) || old[i].by.item == nil {
			return nil
		}
		return old[i].by
	}
	stays := func(i int) bool { // old[i] still stands somewhere
		for _, p := range now {
			if bytes.Equal(p.document.Data, old[i].written) {
				return true
			}
		}
		return false
	}
	find := func(data []byte) int {
		for i := range old {
			if bytes.Equal(old[i].written, data) {
				return i
			}
		}
		return -1
	}
	if i := find(now[j].document.Data); i >= 0 {
		return good(i)
	}
	// Count from the nearest document above that did not change (or from the
	// top of the file), then from the nearest below (or the end).
	above, at := -1, -1
	for k := j - 1; k >= 0; k-- {
		if i := find(now[k].document.Data); i >= 0 {
			above, at = k, i
			break
		}
	}
	if i := at + j - above; i < len(old) && !stays(i) {
		return good(i)
	}
	below, at := len(now), len(old)
	for k := j + 1; k < len(now); k++ {
		if i := find(now[k].document.Data); i >= 0 {
			below, at = k, i
			break
		}
	}
	if i := at - (below - j); i >= 0 && i < len(old) && !stays(i) {
		return good(i)
	}
	return nil
}
