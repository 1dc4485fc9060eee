package control

import (
	"bytes"

	"github.com/naru-mesh/naru/model"
)

// served is a document as it stands in its file, and the version of it that
// serves: itself, or, while it cannot be read, the last one that could.
type served struct {
	written []byte
	by      *parsed
}

// serve gives what to translate instead of order: the same, with each lost
// document replaced by its last good version. broken says whether any is lost.
func (t *translator) serve(files map[string][]*parsed, order []*parsed, broken bool) (serving []*parsed, notes []model.Problem) {
	instead := map[*parsed]*parsed{}
	if broken {
		for path, list := range files {
			for j, p := range list {
				if !p.lost() {
					continue
				}
				if old := before(t.files[path], list, j); old != nil {
					instead[p] = old
				}
			}
		}
	}
	serving = order
	if len(instead) > 0 {
		serving = make([]*parsed, len(order))
		for i, p := range order {
			serving[i] = p
			if old := instead[p]; old != nil {
				serving[i] = old
				notes = append(notes, model.Problem{
					Origin:   place(p.document),
					Severity: model.Doubtful,
					Code:     "old-serves",
					Message:  "this document cannot be read, so what it was before (" + place(old.document).String() + ") goes on serving",
				})
			}
		}
	}
	t.files = make(map[string][]served, len(files))
	for path, list := range files {
		now := make([]served, len(list))
		for j, p := range list {
			now[j] = served{p.document.Data, p}
			if old := instead[p]; old != nil {
				now[j].by = old
			}
		}
		t.files[path] = now
	}
	return serving, notes
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
