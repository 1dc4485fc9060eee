package short

import (
	"cmp"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/naru-mesh/naru/dialect"
	"github.com/naru-mesh/naru/model"
)

// Dialect is the short form. It has no state.
type Dialect struct {
	// CEL says what is wrong with an expression of a policy, nil where nothing
	// is; where it is nil itself, nobody looks before the policy is to serve.
	CEL func(expression string) error
	// Key is CEL for the expression of a key to hash.
	Key func(expression string) error
}

// New makes the dialect.
func New() *Dialect { return &Dialect{} }

// Name is "short".
func (*Dialect) Name() string { return "short" }

// Claims says whether a document has one of the short form's fields at the
// top, or one that was most likely meant to be, and is no Kubernetes object.
func (*Dialect) Claims(doc *dialect.Document) bool {
	known := topFields()
	near := false
	for _, key := range doc.Keys() {
		switch key {
		case "apiVersion", "kind", "openapi", "swagger", "spring":
			return false
		}
		near = near || dialect.Nearest(key, known) != ""
	}
	return near
}

// topFields are the names at the top of a document.
func topFields() []string {
	t := reflect.TypeFor[form]()
	names := make([]string, t.NumField())
	for i := range names {
		names[i] = t.Field(i).Tag.Get("json")
	}
	return names
}

// file is what Parse makes of a document.
type file struct {
	path         string
	listening    bool // listen is written, be it wrong
	routing      bool // so are routes
	listens      []listen
	limits       *limits
	listeners    []*model.Listener
	certificates []*model.Certificate
	services     []*model.Service
	own          int      // of services, those written as such; then those of URLs
	names        []string // of all services, the broken ones too
	rules        []rule
	redirects    []rule // of listeners
	settings     *model.Settings
	mesh         *model.Mesh
	policies     []access
	traffic      []*model.TrafficPolicy // defaults first, where there are any
	// alone is the whole translation when there is no other document, which
	// is nearly always.
	alone *model.Fragment
	items items // for Reread
}

// Parse reads one document.
func (d *Dialect) Parse(doc *dialect.Document) (any, []model.Problem) {
	var top form
	in := doc.Decoder("")
	in.Into(doc.Root, &top)
	f := &file{path: doc.Path, listens: top.Listen, limits: top.Limits}
	if n := doc.Get("listen"); n != nil {
		f.listening = n.Tag != "!!null"
	}
	f.routing = len(top.Routes.items) > 0

	folder := ""
	if doc.Path != "" {
		folder = filepath.Dir(doc.Path)
	}
	problems := f.openDoors(doc, &top, folder)
	settings, wrong := top.settings(doc)
	f.settings = settings
	problems = append(problems, wrong...)
	c := compiler{doc: doc}
	in.Enter("routes")
	f.rules = make([]rule, 0, len(top.Routes.items))
	for i, n := range top.Routes.items {
		if r, ok := c.rule(in, n, i); ok {
			f.rules = append(f.rules, r)
		}
	}
	in.Leave()
	if p := top.Defaults.noun(); p != nil {
		f.traffic = append(f.traffic, p)
	}
	for i := range top.Services {
		s := &top.Services[i]
		f.names = append(f.names, s.name)
		s.broken = d.badCode(in, s) || s.broken
		if s.broken {
			f.services = append(f.services, &model.Service{Name: s.name, Origin: s.origin, Refused: true})
			continue
		}
		f.services = append(f.services, s.noun(folder))
		if p := s.requests(); p != nil {
			f.traffic = append(f.traffic, p)
		}
		if own := s.own(folder); own != nil && !slices.ContainsFunc(f.certificates, func(c *model.Certificate) bool { return c.Name == own.Name }) {
			f.certificates = append(f.certificates, own)
		}
	}
	if top.Mesh != nil && !top.Mesh.off {
		f.mesh = top.Mesh.noun(doc, folder)
	}
	in.Enter("policies")
	for i, n := range top.Policies.items {
		f.policies = append(f.policies, d.access(in, n, i))
	}
	in.Leave()
	f.own = len(f.services)
	f.services = append(f.services, c.urls.list...)
	f.alone = join([]*file{f}, true)
	problems = append(problems, in.Problems()...)
	if len(problems) == 0 {
		f.items = itemsOf(doc, &top.Routes)
	}
	slices.SortStableFunc(problems, func(a, b model.Problem) int {
		return cmp.Or(cmp.Compare(a.Origin.Line, b.Origin.Line), cmp.Compare(a.Origin.Column, b.Origin.Column))
	})
	return f, problems
}

// openDoors makes the listeners and their certificates.
func (f *file) openDoors(doc *dialect.Document, top *form, folder string) (problems []model.Problem) {
	have := map[string]bool{}
	names := func(t *tlsKeys) (list []string) {
		if t == nil {
			return nil
		}
		for i := range t.pairs {
			if t.pairs[i].Cert == "" || t.pairs[i].Key == "" {
				continue
			}
			c := t.pairs[i].noun(folder)
			if list = append(list, c.Name); !have[c.Name] {
				have[c.Name] = true
				f.certificates = append(f.certificates, c)
			}
		}
		return list
	}
	issued := func(t *tlsKeys) *model.Issuance {
		if t == nil || t.issue == nil || t.issue.broken {
			return nil
		}
		return t.issue.noun(folder)
	}
	secure := false
	for i := range f.listens {
		l := &f.listens[i]
		if l.broken {
			f.listeners = append(f.listeners, l.refused())
			continue
		}
		var certificates []string
		var issue *model.Issuance
		if l.ends() {
			secure = true
			if certificates, issue = names(l.TLS), issued(l.TLS); len(certificates) == 0 && issue == nil {
				certificates, issue = names(top.TLS), issued(top.TLS)
			}
			if len(certificates) == 0 && issue == nil && top.TLS == nil {
				l.broken = true
				f.listeners = append(f.listeners, l.refused())
				problems = append(problems, doc.Problem(doc.At(l.origin.Field), l.origin.Field, "bad-value",
					cmp.Or(string(l.scheme), "https")+" needs a certificate", "write tls: auto, or tls: {cert: cert.pem, key: key.pem}, here or at the top"))
			}
		}
		if !l.broken && (!l.ends() || len(certificates) > 0 || issue != nil) {
			f.listeners = append(f.listeners, l.noun(folder, certificates, issue, top.Limits))
			if l.Redirect != nil {
				f.redirects = append(f.redirects, l.rule())
			}
		}
	}
	f.listeners = slices.DeleteFunc(f.listeners, func(l *model.Listener) bool {
		return l.Refused && slices.ContainsFunc(f.listeners, func(o *model.Listener) bool { return o != nil && !o.Refused && o.Name == l.Name })
	})
	if top.TLS != nil && !secure {
		p := doc.Problem(doc.Get("tls"), "tls", "unused", "no listener speaks https, so that tls is not used",
			"write https:// before the address of one, for example listen: https://:8443")
		p.Severity = model.Doubtful
		problems = append(problems, p)
	}
	return problems
}

// settings makes the noun of what is said for the whole process.
func (top *form) settings(doc *dialect.Document) (*model.Settings, []model.Problem) {
	if top.Admin == "" && top.Log == nil && top.Overload == nil {
		return nil, nil
	}
	s := &model.Settings{Admin: string(top.Admin), Overload: top.Overload.noun(), Origin: doc.Origin(doc.Get("admin"), "admin")}
	switch {
	case top.Admin != "":
	case top.Log != nil:
		s.Origin = doc.Origin(doc.Get("log"), "log")
	default:
		s.Origin = doc.Origin(doc.Get("overload"), "overload")
	}
	var problems []model.Problem
	if s.Admin != "" && s.Admin != off {
		if !strings.Contains(s.Admin, ":") {
			problems = append(problems, doc.Problem(doc.Get("admin"), "admin", "bad-value",
				"admin is an address or off, not "+strconv.Quote(s.Admin), "for example 127.0.0.1:9901"))
			s.Admin = ""
		}
	}
	if l := top.Log; l != nil {
		s.AccessLog, s.AccessLogFile = string(l.Format), string(l.File)
		switch s.AccessLog {
		case "":
			if s.AccessLogFile != "" {
				s.AccessLog = "json"
			}
		case off, "json", "text":
		default:
			problems = append(problems, doc.Problem(doc.Get("log"), "log", "bad-value",
				"the access log is off, json or text, not "+strconv.Quote(s.AccessLog), "for example log: json"))
			s.AccessLog = ""
		}
	}
	return s, problems
}

// Translate joins all short documents.
func (*Dialect) Translate(items []any) *model.Fragment {
	files := make([]*file, 0, len(items))
	for _, item := range items {
		if f, ok := item.(*file); ok {
			files = append(files, f)
		}
	}
	switch len(files) {
	case 0:
		return &model.Fragment{}
	case 1:
		return files[0].alone
	}
	return join(files, false)
}
