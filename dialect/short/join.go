package short

import (
	"slices"
	"strconv"
	"strings"

	"github.com/naru-mesh/naru/dialect"
	"github.com/naru-mesh/naru/model"
)

// joint is what routes need to know of all documents.
type joint struct {
	doors    []*listen
	all      []string // names of all listeners
	open     []string // of those that do not redirect
	plain    []string // of those again that are without TLS
	services map[string]bool
	fresh    bool
	names    []string // of services, for hints
	out      model.Fragment
	bounds   *limits // of listeners that nobody wrote
}

// join translates documents as if they were one. fresh: it is Parse that asks,
// and new nouns may be completed.
func join(files []*file, fresh bool) *model.Fragment {
	j := joint{services: map[string]bool{}, fresh: fresh}
	j.openDoors(files)
	urls := map[string]bool{}
	for i, f := range files {
		j.direct(f, i)
		j.certify(f.certificates)
		for _, name := range f.names {
			j.services[name] = true
			j.names = append(j.names, name)
		}
		for _, s := range f.services {
			// Two documents may lead to one URL, which is one service.
			if isURL(s.Name) {
				if urls[s.Name] {
					continue
				}
				urls[s.Name] = true
			}
			j.out.Services = append(j.out.Services, s)
		}
		j.settle(f.settings)
		j.settleMesh(f.mesh)
		j.admit(f.policies)
	}
	used := map[string]int{}
	index := 0
	for i, f := range files {
		prefix := ""
		if i > 0 {
			// A name is unique: the numbers of the further documents have
			// their file before them.
			prefix = f.path + "/"
			if used[f.path]++; used[f.path] > 1 || f.path == files[0].path {
				prefix = f.path + "#" + strconv.Itoa(i) + "/"
			}
		}
		next := index
		for k := range f.rules {
			next = index + f.rules[k].index() + 1
			j.place(&f.rules[k], prefix, index)
		}
		index = next
	}
	for _, f := range files {
		for k := range f.redirects {
			j.place(&f.redirects[k], "", 0)
		}
	}
	return &j.out
}

// openDoors collects the listeners, or makes the one that stands where no
// document says anything.
func (j *joint) openDoors(files []*file) {
	said, routes := false, false
	for _, f := range files {
		said = said || f.listening
		routes = routes || slices.ContainsFunc(f.rules, func(r rule) bool { return len(r.flows) == 0 }) || f.routing && len(f.rules) == 0
		if j.bounds == nil {
			j.bounds = f.limits
		}
		for i := range f.listens {
			l := &f.listens[i]
			j.doors = append(j.doors, l)
			if l.scheme != "" {
				continue // requests do not come there
			}
			// A broken listener stays a parent: its last version may serve on.
			j.all = append(j.all, l.name)
			if l.Redirect != nil {
				continue
			}
			j.open = append(j.open, l.name)
			if !l.https {
				j.plain = append(j.plain, l.name)
			}
		}
		j.out.Listeners = append(j.out.Listeners, f.listeners...)
	}
	if len(j.doors) > 0 || said || !routes {
		return
	}
	const port = 8080
	l := &listen{name: "listen/:8080", port: port}
	j.doors = []*listen{l}
	j.all, j.open, j.plain = []string{l.name}, []string{l.name}, []string{l.name}
	j.out.Listeners = []*model.Listener{l.noun("", nil, nil, j.bounds)}
}

// direct takes over the policies of the document with a number. Its defaults are
// for everything, as those of the others; the first that say something count.
func (j *joint) direct(f *file, index int) {
	for _, p := range f.traffic {
		if p.Name == "defaults" && index > 0 {
			copied := *p
			copied.Name, copied.Order.Index = "defaults of "+f.path+"#"+strconv.Itoa(index), index
			p = &copied
		}
		j.out.Traffic = append(j.out.Traffic, p)
	}
}

func (j *joint) certify(list []*model.Certificate) {
	for _, c := range list {
		known := false
		for _, have := range j.out.Certificates {
			known = known || have.Name == c.Name
		}
		if !known {
			j.out.Certificates = append(j.out.Certificates, c)
		}
	}
}

// settle takes each setting from the first document that has it.
func (j *joint) settle(s *model.Settings) {
	if s == nil {
		return
	}
	if j.out.Settings == nil {
		first := *s
		j.out.Settings = &first
		return
	}
	have := j.out.Settings
	if have.Admin == "" {
		have.Admin = s.Admin
	}
	if have.AccessLog == "" {
		have.AccessLog, have.AccessLogFile = s.AccessLog, s.AccessLogFile
	}
}

// place puts the nouns of a rule behind their listeners, unless they lead to a
// service that is not there. What is not as it was is copied, because the
// nouns may already serve.
func (j *joint) place(r *rule, prefix string, index int) {
	if len(r.flows) > 0 {
		j.placeFlows(r, prefix, index)
		return
	}
	parents, ok := j.parents(r)
	if parents == nil {
		parents = []string{}
	}
	if !j.resolved(r) || !ok {
		return
	}
	for i, noun := range r.nouns {
		if j.fresh && noun.Parents == nil {
			noun.Parents = parents // it never was in a Fragment
		} else if prefix != "" || !slices.Equal(noun.Parents, parents) {
			copied := *noun
			noun = &copied
			noun.Parents = parents
			noun.Order.Index += index
			if !r.named {
				noun.Name = prefix + noun.Name
			}
			if j.fresh { // the next Parse takes it over as it is now
				r.nouns = slices.Clone(r.nouns)
				r.nouns[i] = noun
			}
		}
		j.out.Routes = append(j.out.Routes, noun)
	}
}

// resolved says whether the services that a rule names are there.
func (j *joint) resolved(r *rule) bool {
	ok := true
	for _, x := range r.refs {
		if !j.services[x.name] {
			ok = false
			j.problem(x.at, "unknown-service", "there is no service "+x.name, j.meant(x.name))
		}
	}
	return ok
}

func (j *joint) meant(name string) string {
	if len(j.names) == 0 {
		return "name it under services, or write a URL"
	}
	return dialect.DidYouMean(name, j.names, "services")
}

func (j *joint) problem(at model.Origin, code, message, hint string) {
	j.out.Problems = append(j.out.Problems, model.Problem{
		Origin: at, Severity: model.Broken, Code: code, Message: message, Hint: hint,
	})
}

// parents are the listeners of a rule.
func (j *joint) parents(r *rule) (names []string, ok bool) {
	if len(r.listen) == 0 {
		redirects := len(j.open) < len(j.all)
		switch {
		case len(j.all) == 0 && len(j.doors) > 0:
			j.problem(r.origin, "unknown-listener", "no listener takes requests: all are for connections (tcp, tls, udp)", "add one, for example \":8080\"")
			return nil, false
		case r.loops && len(j.plain) > 0:
			// From http to https: behind a listener with TLS it would lead back
			// to itself for ever.
			return j.plain, true
		case r.loops && redirects:
			j.problem(r.origin, "bad-value", "redirect: https stands behind no plain listener", "leave it out: those without TLS redirect already")
			return nil, false
		case r.loops:
			j.problem(r.origin, "bad-value", "redirect: https stands behind no plain listener", "add one, for example listen: [\":80\", \":443\"]")
			return nil, false
		case redirects && len(j.open) == 0:
			j.problem(r.origin, "unknown-listener", "no listener is left for this route: all of them redirect", "add one that serves, for example https://:443, or say listen: at the route")
			return nil, false
		}
		return j.open, true
	}
	ok = true
	for _, word := range r.listen {
		found := false
		for _, l := range j.doors {
			if l.is(word) {
				found = true
				names = append(names, l.name)
			}
		}
		if !found {
			ok = false
			at := r.origin
			at.Field += ".listen"
			j.problem(at, "unknown-listener", "there is no listener "+word, "known listeners: "+strings.ReplaceAll(strings.Join(j.all, ", "), "listen/", ""))
		}
	}
	return names, ok
}
