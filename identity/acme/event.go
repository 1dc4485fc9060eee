package acme

import (
	"context"
	"fmt"
	"time"

	"github.com/naru-mesh/naru/model"
)

// event hears what certmagic does. On any goroutine.
func (a *authority) event(_ context.Context, event string, data map[string]any) error {
	m := a.manager
	n, _ := data["identifier"].(string)
	renewal, _ := data["renewal"].(bool)
	switch event {
	case "cert_obtained":
		if renewal {
			m.counts.renewed.Add(1)
			m.log.Info("certificate renewed", "name", n, "issuer", data["issuer"])
		} else {
			m.counts.issued.Add(1)
			m.log.Info("certificate issued", "name", n, "issuer", data["issuer"])
		}
		if renewal {
			a.settle(n, nil) // it is in the cache in a moment, and another is until then
		}
	case "cert_failed":
		m.counts.failed.Add(1)
		err, _ := data["error"].(error)
		if a.ctx.Err() != nil {
			return nil // the end, not a failure
		}
		m.log.Warn("no certificate was issued; it will be tried again", "name", n, "error", err)
		a.settle(n, err)
		a.tire(n, err)
	case "cached_managed_cert":
		names, _ := data["sans"].([]string)
		a.mu.Lock()
		for _, n := range names {
			if len(a.known) < maxCached {
				a.known[n] = true
			}
		}
		a.mu.Unlock()
		for _, n := range names {
			a.settle(n, nil)
		}
	}
	return nil
}

// settle notes how an order of a held name went.
func (a *authority) settle(n string, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if held := a.names[n]; held != nil {
		held.settle(err)
	}
}

// settle is with the authority's mu held.
func (h *name) settle(err error) {
	h.trouble = err
	if !h.started {
		h.started = true
		close(h.settled)
	}
}

// problem says what is wrong with a held name.
func (a *authority) problem(n string) (p model.Problem, ok bool) {
	a.mu.Lock()
	var trouble error
	if held := a.names[n]; held != nil {
		trouble = held.trouble
	}
	a.mu.Unlock()
	list := a.cache.AllMatchingCertificates(n)
	if len(list) == 0 {
		p = model.Problem{Severity: model.Doubtful, Code: "no-certificate", Message: "there is no certificate for " + n + " yet: its authority has been asked"}
		if trouble != nil {
			p.Severity, p.Message = model.Broken, fmt.Sprintf("there is no certificate for %s: %v", n, trouble)
			p.Hint = "it is tried again"
		}
		return p, true
	}
	cert, _ := a.find(n, noHello)
	if cert.Expired() {
		p = model.Problem{Severity: model.Broken, Code: "certificate-expired", Message: fmt.Sprintf("the certificate of %s has expired", n), Hint: "it is tried again"}
		if trouble != nil {
			p.Message += fmt.Sprintf(", and there is no new one: %v", trouble)
		}
		return p, true
	}
	if trouble != nil {
		return model.Problem{Severity: model.Doubtful, Code: "not-renewed", Message: fmt.Sprintf("the certificate of %s was not renewed: %v", n, trouble),
			Hint: "the one from before serves until " + cert.Leaf.NotAfter.UTC().Format(time.RFC3339) + "; it is tried again"}, true
	}
	return p, false
}
