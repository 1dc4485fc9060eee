package transcode

import (
	"os"

	"github.com/naru-mesh/naru/model"
)

// sighting is what a file looked like.
type sighting struct{ info os.FileInfo }

func look(name string) sighting {
	info, err := os.Stat(name)
	if err != nil {
		return sighting{}
	}
	return sighting{info}
}

func (s sighting) same(o sighting) bool {
	if s.info == nil || o.info == nil {
		return s.info == o.info
	}
	return os.SameFile(s.info, o.info) && s.info.Size() == o.info.Size() && s.info.ModTime().Equal(o.info.ModTime())
}

// Look reads the files that have changed since, and tells of each that did,
// with what is wrong with it. It is called now and then from one goroutine:
// looking survives whatever way a file is replaced.
func (d *Descriptors) Look(told func(file string, err error)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	live := d.live[:0]
	for _, w := range d.live {
		t := w.Value()
		if t == nil {
			continue // its Program is gone
		}
		live = append(live, w)
		now := look(t.noun.Descriptors)
		if now.same(t.seen) {
			continue
		}
		t.seen = now
		m, err := load(t.noun)
		if err == nil {
			t.mapping.Store(m)
		}
		if !same(t.trouble, err) || err == nil {
			told(t.noun.Descriptors, err)
		}
		t.trouble = err
	}
	clear(d.live[len(live):])
	d.live = live
}

func same(a, b error) bool {
	return a == b || a != nil && b != nil && a.Error() == b.Error()
}

// Problems are the files that changed and cannot be used as they are now.
func (d *Descriptors) Problems() (list []model.Problem) {
	d.mu.Lock()
	defer d.mu.Unlock()
	seen := map[string]bool{}
	for _, w := range d.live {
		t := w.Value()
		if t == nil || t.trouble == nil || seen[t.trouble.Error()] {
			continue
		}
		seen[t.trouble.Error()] = true
		list = append(list, model.Problem{
			Severity: model.Broken, Code: "bad-descriptors", Message: t.trouble.Error(), Hint: "the descriptors from before go on serving",
		})
	}
	return list
}
