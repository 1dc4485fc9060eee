package control

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	"github.com/naru-mesh/naru/dialect"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/source"
)

// toy is a language for tests: a document with `toy: NAME`, lists of listeners
// (NAME PORT), services (NAME ADDRESS PORT), routes (NAME PATH SERVICE, or
// PATH SERVICE, which are named by their position) and flows (NAME LISTENER
// SERVICE; a listener whose name begins with tcp is for these).
type toy struct{}

type toyDocument struct {
	toy       string
	fragment  model.Fragment
	panicking bool // in Translate
}

func (toy) Name() string { return "toy" }

func (toy) Claims(d *dialect.Document) bool { return d.Get("toy") != nil }

func (toy) Parse(d *dialect.Document) (any, []model.Problem) {
	var problems []model.Problem
	t := &toyDocument{toy: d.Get("toy").Value}
	if t.toy == "panic in parse" {
		panic("a nut came loose")
	}
	t.panicking = t.toy == "panic in translate"
	if d.Get("admin") != nil {
		t.fragment.Settings = &model.Settings{Admin: d.Get("admin").Value, Origin: d.Origin(d.Get("admin"), "admin")}
	}
	for i := 0; i < len(d.Root.Content); i += 2 {
		switch k := d.Root.Content[i]; k.Value {
		case "toy", "admin", "listeners", "services", "routes", "flows":
		default:
			problems = append(problems, d.Problem(k, k.Value, "unknown-field", "there is no field "+k.Value, ""))
		}
	}
	words := func(key string, least, most int, each func(i int, at model.Origin, w []string)) {
		list := d.Get(key)
		if list == nil {
			return
		}
		for i, n := range list.Content {
			field := fmt.Sprintf("%s[%d]", key, i)
			w := strings.Fields(n.Value)
			if len(w) < least || len(w) > most {
				problems = append(problems, d.Problem(n, field, "bad-value", "I do not understand "+n.Value, ""))
				continue
			}
			each(i, d.Origin(n, field), w)
		}
	}
	words("listeners", 2, 2, func(_ int, at model.Origin, w []string) {
		l := &model.Listener{Name: w[0], Protocol: model.HTTP, Origin: at}
		if strings.HasPrefix(l.Name, "tcp") {
			l.Protocol = model.TCP
		}
		if _, err := fmt.Sscan(w[1], &l.Port); err != nil {
			l.Protocol = "nonsense" // left for Validate to find
		}
		t.fragment.Listeners = append(t.fragment.Listeners, l)
	})
	words("services", 3, 3, func(_ int, at model.Origin, w []string) {
		e := &model.Endpoint{Host: w[1]}
		fmt.Sscan(w[2], &e.Port)
		t.fragment.Services = append(t.fragment.Services, &model.Service{Name: w[0], Endpoints: []*model.Endpoint{e}, Origin: at})
	})
	words("routes", 2, 3, func(i int, at model.Origin, w []string) {
		if len(w) == 2 {
			w = append([]string{fmt.Sprintf("routes/%d", i)}, w...)
		}
		t.fragment.Routes = append(t.fragment.Routes, &model.Route{Name: w[0], Parents: []string{"public"},
			Matches:  []model.Match{{PathKind: model.PathPrefix, Path: w[1]}},
			Backends: []model.Backend{{Service: w[2], Weight: 1}}, Origin: at})
	})
	words("flows", 3, 3, func(i int, at model.Origin, w []string) {
		t.fragment.Flows = append(t.fragment.Flows, &model.Flow{Name: w[0], Parents: []string{w[1]},
			Backends: []model.Backend{{Service: w[2], Weight: 1}}, Order: model.Order{Index: i}, Origin: at})
	})
	return t, problems
}

func (toy) Translate(items []any) *model.Fragment {
	f := &model.Fragment{}
	for _, item := range items {
		t := item.(*toyDocument)
		if t.panicking {
			panic("a wheel came off")
		}
		f.Listeners = append(f.Listeners, t.fragment.Listeners...)
		f.Routes = append(f.Routes, t.fragment.Routes...)
		f.Flows = append(f.Flows, t.fragment.Flows...)
		f.Services = append(f.Services, t.fragment.Services...)
		if f.Settings == nil {
			f.Settings = t.fragment.Settings
		}
	}
	// As real dialects do: no word of routes without a listener, nor of
	// services that no route leads to.
	if len(f.Listeners) == 0 {
		f.Routes, f.Flows = nil, nil
	}
	f.Services = slices.DeleteFunc(f.Services, func(s *model.Service) bool {
		return strings.HasPrefix(s.Name, "only") && !slices.ContainsFunc(f.Routes, func(r *model.Route) bool { return r.Backends[0].Service == s.Name }) &&
			!slices.ContainsFunc(f.Flows, func(x *model.Flow) bool { return x.Backends[0].Service == s.Name })
	})
	return f
}

// split makes documents of a file's text, as a source does.
func split(path, text string) (list []source.Document) {
	line := 1
	for _, part := range strings.Split(text, "---\n") {
		d := source.Document{Path: path, Line: line, Data: []byte(part)}
		d.Sum = sha256.Sum256(fmt.Appendf(nil, "%s %d %s", path, line, part))
		list = append(list, d)
		line += strings.Count(part, "\n") + 1
	}
	return list
}
