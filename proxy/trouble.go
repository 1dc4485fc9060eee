package proxy

import (
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/naru-mesh/naru/model"
)

// troubles are what went wrong with a port's certificates since its TLS was
// last configured, by the certificate's name.
type troubles struct {
	mu  sync.Mutex
	all map[string]model.Problem
	udp *model.Problem // with its UDP side
}

// without notes why there is no UDP side, nil where nothing is wrong, and gives
// what was noted before.
func (t *troubles) without(p *model.Problem) (before *model.Problem) {
	t.mu.Lock()
	defer t.mu.Unlock()
	before, t.udp = t.udp, p
	return before
}

// reloaded notes what became of changed files. usable says that they serve,
// whatever err says of them.
func (t *troubles) reloaded(name string, err error, usable bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.all, name)
	if err == nil {
		return
	}
	if t.all == nil {
		t.all = map[string]model.Problem{}
	}
	p := model.Problem{Severity: model.Broken, Code: "bad-certificate", Message: err.Error(), Hint: "the certificate from before goes on serving"}
	if usable {
		p.Severity, p.Hint = model.Doubtful, ""
	}
	t.all[name] = p
}

func (t *troubles) clear() {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.all)
}

// usable says whether an error about a credential is only a warning.
func usable(err error) bool {
	var w interface{ Usable() bool }
	return errors.As(err, &w) && w.Usable()
}

// Problems are what is wrong now with what serves: what compiling and opening
// the Program in force found, and certificates whose files went bad since.
func (p *Proxy) Problems() []model.Problem {
	prog := p.Program()
	if prog == nil {
		return nil
	}
	all := slices.Clone(prog.Problems)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, port := range p.ports {
		if port == nil {
			continue
		}
		port.troubles.mu.Lock()
		if problem := port.troubles.udp; problem != nil {
			all = append(all, *problem)
		}
		for name, problem := range port.troubles.all {
			for _, c := range prog.Snapshot.Certificates {
				if c.Name == name {
					problem.Origin = c.Origin
				}
			}
			if !slices.Contains(all, problem) { // two ports may show one certificate
				all = append(all, problem)
			}
		}
		port.troubles.mu.Unlock()
	}
	return all
}

// unusable makes Problems of what is wrong with the TLS of services.
func unusable(s *model.Snapshot, trouble error) (problems []model.Problem) {
	list := []error{trouble}
	if joined, ok := trouble.(interface{ Unwrap() []error }); ok {
		list = joined.Unwrap()
	}
	for _, err := range list {
		if err == nil {
			continue
		}
		problem := model.Problem{Severity: model.Broken, Code: "bad-tls", Message: err.Error(), Hint: "its requests fail, or go on as before"}
		for _, v := range s.Services {
			if strings.HasPrefix(err.Error(), "service "+v.Name+": ") {
				problem.Origin = v.Origin
			}
		}
		problems = append(problems, problem)
	}
	return problems
}
