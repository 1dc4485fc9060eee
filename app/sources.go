package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"time"

	"github.com/naru-mesh/naru/control"
	"github.com/naru-mesh/naru/dialect/native"
	"github.com/naru-mesh/naru/dialect/short"
	"github.com/naru-mesh/naru/filter"
	"github.com/naru-mesh/naru/filter/fault"
	"github.com/naru-mesh/naru/filter/transcode"
	"github.com/naru-mesh/naru/identity"
	"github.com/naru-mesh/naru/mesh"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/proxy"
	"github.com/naru-mesh/naru/source"
	"github.com/naru-mesh/naru/source/file"
	"github.com/naru-mesh/naru/wire"
	"github.com/naru-mesh/naru/wire/secure"
)

// sources are the files, or the document that --to stands for.
func sources(opt Options) ([]source.Source, error) {
	if opt.TLS != "" {
		list := []source.Source{fixed{source.Document{Path: "--tls", Line: 1, Data: short.Secure(opt.To, opt.Listen, opt.TLS, opt.Names)}}}
		if len(opt.Files) > 0 {
			list = append(list, file.New(opt.Files...))
		}
		return list, nil
	}
	if opt.To != "" {
		// A mistake in the URL or the address is found where any other is, and
		// is reported at its flag.
		return []source.Source{fixed{source.Document{Path: "--to", Line: 1, Data: short.To(opt.To, opt.Listen)}}}, nil
	}
	if len(opt.Files) == 0 {
		return nil, errors.New("no configuration files")
	}
	return []source.Source{file.New(opt.Files...)}, nil
}

// fixed is a source that never changes.
type fixed struct{ doc source.Document }

func (f fixed) Name() string { return f.doc.Path }

func (f fixed) Watch(ctx context.Context, changed func(source.Set)) error {
	changed(source.Set{Documents: []source.Document{f.doc}})
	<-ctx.Done()
	return ctx.Err()
}

// Check reads files once and gives what would serve, and every mistake, those
// in certificates too.
func Check(_ context.Context, files []string, _ io.Reader) (*model.Snapshot, []model.Problem, error) {
	s, problems := control.Check([]source.Set{file.Read(files...)}, Dialects())
	problems = append(problems, checkCertificates(s, time.Now())...)
	for _, by := range []model.IssuedBy{model.ACME, model.Local} {
		_, wrong := identity.Wants(&s.Config, by)
		problems = append(problems, wrong...)
	}
	return s, append(problems, checkFilters(s)...), nil
}

// checkFilters builds the filters that read files.
func checkFilters(s *model.Snapshot) (problems []model.Problem) {
	families := Families(new(transcode.Descriptors), new(fault.Counts))
	check := func(at model.Origin, list []model.Filter) {
		if !slices.ContainsFunc(list, func(f model.Filter) bool { return f.Transcode != nil }) {
			return
		}
		if _, err := filter.Compile(families, list); err != nil {
			problems = append(problems, model.Problem{Origin: at, Severity: model.Broken, Code: "not-compiled", Message: err.Error()})
		}
	}
	for _, r := range s.Routes {
		check(r.Origin, r.Filters)
		for i := range r.Backends {
			check(r.Origin, r.Backends[i].Filters)
		}
	}
	return problems
}

// watchDescriptors looks now and then whether files that filters have read
// have changed.
func (g *gateway) watchDescriptors(ctx context.Context) {
	const every = time.Second // as certificates
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		g.descriptors.Look(func(file string, err error) {
			if err != nil {
				g.log.Error("changed descriptors cannot be used; those from before go on serving", "file", file, "error", err)
				return
			}
			g.log.Info("descriptors were read again", "file", file)
		})
	}
}

// Explain says what the configuration s would do with a request.
func Explain(s *model.Snapshot, q proxy.Question) (*proxy.Explanation, error) {
	e, err := proxy.Explain(s, Families(new(transcode.Descriptors), new(fault.Counts)), q)
	if u, wrong := url.Parse(q.URL); err != nil && wrong == nil && s.Mesh != nil {
		if c, _ := mesh.Find(&s.Config, model.DefaultNamespace, "", u.Hostname(), 0); c != nil {
			err = fmt.Errorf("%w; %s is a service of the mesh: --from ACCOUNT says who calls it", err, c.Service.Name)
		}
	}
	return e, err
}

// checkCertificates reads what the nouns of s name.
func checkCertificates(s *model.Snapshot, now time.Time) (problems []model.Problem) {
	for _, c := range s.Certificates {
		p := model.Problem{Origin: c.Origin, Severity: model.Broken, Code: "bad-certificate"}
		warning, err := secure.Check(credential(c), now)
		switch {
		case err != nil:
			p.Message = err.Error()
		case warning != nil:
			p.Severity, p.Message = model.Doubtful, warning.Error()
		default:
			continue
		}
		problems = append(problems, p)
	}
	authorities := func(at model.Origin, name, file string) {
		if file == "" {
			return // Validate has read what is inline
		}
		if err := secure.CheckAuthorities(name, file, nil); err != nil {
			problems = append(problems, model.Problem{Origin: at, Severity: model.Broken, Code: "bad-certificate", Message: err.Error()})
		}
	}
	for _, l := range s.Listeners {
		if l.ClientAuth != nil {
			authorities(l.Origin, "listener "+l.Name+": client CA", l.ClientAuth.CAFile)
		}
	}
	for _, v := range s.Services {
		if v.TLS != nil {
			authorities(v.Origin, "service "+v.Name+": CA", v.TLS.CAFile)
		}
	}
	return problems
}

// Schema gives the JSON Schema of the short form, or of naru's own kinds, or
// the reference page of the same.
func Schema(kinds, reference bool) ([]byte, error) {
	switch {
	case kinds && reference:
		return native.Reference(), nil
	case kinds:
		return native.Schema()
	case reference:
		return short.Reference(), nil
	}
	return short.Schema()
}

// dialer makes the dialer of a service with TLS.
func (g *gateway) dialer(t *model.BackendTLS, own *model.Certificate, host string, protocols ...string) (wire.Dialer, error) {
	cfg := &wire.ClientTLS{
		ServerName: pick(t.ServerName, host), CA: t.CA, CAFile: t.CAFile, Insecure: t.Insecure,
		Names: t.Names, Protocols: protocols,
	}
	if own != nil {
		c := credential(own)
		cfg.Credential = &c
	}
	cfg.Reloaded = func(name string, err error) {
		switch usable, ok := err.(interface{ Usable() bool }); {
		case err == nil:
			g.log.Info("read again what services are checked with or shown", "name", name, "host", host)
		case ok && usable.Usable():
			g.log.Warn("read again what services are checked with or shown, but it is doubtful", "name", name, "host", host, "error", err)
		default:
			g.log.Error("what services are checked with or shown has changed and is not usable; that of before goes on", "name", name, "host", host, "error", err)
		}
	}
	return g.security.Client(cfg)
}

func credential(c *model.Certificate) wire.Credential {
	return wire.Credential{Name: c.Name, Chain: c.Chain, Key: c.Key, ChainFile: c.ChainFile, KeyFile: c.KeyFile}
}
