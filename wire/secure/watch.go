package secure

import (
	"os"
	"time"

	"github.com/naru-mesh/naru/wire"
)

// watchEvery is how often files are looked at. Looking, instead of asking the
// kernel to tell, survives whatever way the files are replaced: rename over,
// a symlink turned (certbot, Kubernetes), a volume mounted anew.
const watchEvery = time.Second

// watch reloads changed files until stop is closed. It is the server's only
// goroutine.
func (sv *server) watch(stop <-chan struct{}) {
	defer sv.over.Done()
	t := time.NewTicker(watchEvery)
	defer t.Stop()
	for {
		select {
		case <-stop:
			return
		case <-t.C:
			sv.reload()
		}
	}
}

// report is one call of Reloaded.
type report struct {
	name string
	err  error
}

// reload looks at the files once and takes over what has changed.
func (sv *server) reload() {
	sv.mu.Lock()
	cfg := sv.program.Load().cfg
	var reports []report
	changed := false
	for i, old := range sv.certs {
		next, r := old.refresh()
		if next != nil {
			sv.certs[i] = next
			changed = true
		}
		if r != nil {
			reports = append(reports, *r)
		}
	}
	clients, r := sv.clients.refresh()
	if clients != nil {
		sv.clients = clients
		changed = true
	}
	if r != nil {
		reports = append(reports, *r)
	}
	if changed {
		sv.publish(cfg)
	}
	sv.mu.Unlock()
	if cfg.Reloaded != nil {
		for _, r := range reports {
			cfg.Reloaded(r.name, r.err)
		}
	}
}

// refresh gives the certificate that replaces c, nil if c stays, and what is to
// be reported. Chain and key are two files and change one after the other, so
// a pair that does not load is tried again, quietly, at the next look and
// reported if nothing has moved since.
func (c *certificate) refresh() (*certificate, *report) {
	if !c.fromFiles() {
		return nil, nil
	}
	now := look(&c.cfg)
	moved := !now.same(c.seen)
	if !moved && !c.doubtful {
		return nil, nil
	}
	next := &certificate{cfg: c.cfg, seen: now}
	err := next.load([]*certificate{c})
	c.seen = now
	switch {
	case err != nil && moved:
		c.doubtful = true
		return nil, nil
	case err != nil:
		c.doubtful, c.reported = false, true
		return nil, &report{c.cfg.Name, err}
	}
	c.doubtful = false
	if next.print == c.print && !c.reported {
		return nil, nil // touched
	}
	r := &report{name: c.cfg.Name}
	if w := next.warning(time.Now()); w != nil {
		r.err = w
	}
	return next, r
}

// sighting is what two files looked like.
type sighting [2]os.FileInfo

func look(c *wire.Credential) sighting { return lookAt(c.ChainFile, c.KeyFile) }

func (s sighting) same(o sighting) bool {
	for i := range s {
		a, b := s[i], o[i]
		if a == nil || b == nil {
			if a != b {
				return false
			}
			continue
		}
		if !os.SameFile(a, b) || a.Size() != b.Size() || !a.ModTime().Equal(b.ModTime()) {
			return false
		}
	}
	return true
}
