package local

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/naru-mesh/naru/identity"
	"github.com/naru-mesh/naru/model"
)

const (
	leafLife = 24 * time.Hour
	// maxLeaves bounds the leaves in memory: wildcards have many names.
	maxLeaves = 1000
)

// Options of an Authority.
type Options struct {
	// Folder is where the roots are of Issuances that name no storage.
	Folder string
	Log    *slog.Logger
	// Now is the clock; nil is the true one.
	Now func() time.Time
}

// Authority implements identity.Issuer.
type Authority struct {
	opt Options
	log *slog.Logger

	mu       sync.Mutex // of what follows
	wants    map[string]*identity.Want
	order    []string         // listeners
	roots    map[string]*root // by folder and scope
	leaves   map[string]*tls.Certificate
	troubles map[string]error // by folder and scope
	counts   identity.Counts
}

var _ identity.Issuer = (*Authority)(nil)

// New makes an Authority that nobody wants anything of yet. It touches no file.
func New(opt Options) *Authority {
	a := &Authority{opt: opt, log: opt.Log, roots: map[string]*root{}, leaves: map[string]*tls.Certificate{}, troubles: map[string]error{}}
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
	if a.opt.Now == nil {
		a.opt.Now = time.Now
	}
	return a
}

// Follow implements identity.Issuer. The roots of all names are made now, so
// that they can be trusted before the first client comes.
func (a *Authority) Follow(wants []identity.Want) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.wants, a.order = map[string]*identity.Want{}, nil
	clear(a.troubles)
	for i := range wants {
		w := &wants[i]
		a.wants[w.Listener] = w
		a.order = append(a.order, w.Listener)
		_, _ = a.leaf(w, "", "") // a trouble is kept
		for _, name := range w.Names {
			_, _ = a.root(w, scopeOf(name, name))
		}
	}
}

// Certificate implements identity.Issuer.
func (a *Authority) Certificate(listener string, hello *tls.ClientHelloInfo) *tls.Certificate {
	name := identity.ServerName(hello.ServerName)
	a.mu.Lock()
	defer a.mu.Unlock()
	w := a.wants[listener]
	if w == nil {
		return nil
	}
	pattern, ok := allows(w, name)
	if !ok {
		return nil
	}
	cert, err := a.leaf(w, name, pattern)
	if err != nil {
		return nil // it is among the Problems
	}
	return cert
}

// allows gives the pattern by which w has certificates for name: what is
// reserved for this machine always, and else what the listener serves.
func allows(w *identity.Want, name string) (pattern string, ok bool) {
	if name == "" || name == "localhost" || strings.HasSuffix(name, ".localhost") && !strings.HasPrefix(name, ".") {
		return name, true
	}
	for _, p := range w.Names {
		if identity.Covers(p, name) {
			return p, true
		}
	}
	return "", false
}

// leaf gives a certificate that lives for at least half a leaf's life; the name
// "" is the machine itself. With mu held.
func (a *Authority) leaf(w *identity.Want, name, pattern string) (*tls.Certificate, error) {
	now := a.opt.Now()
	key := a.folder(w) + "\x00" + name
	old := a.leaves[key]
	if old != nil && now.Before(old.Leaf.NotAfter.Add(-leafLife/2)) {
		return old, nil
	}
	names, addresses := []string{name}, []net.IP(nil)
	if name == "" {
		names, addresses = []string{"localhost"}, []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	}
	r, err := a.root(w, scopeOf(names[0], pattern))
	if err != nil {
		return nil, err
	}
	cert, err := r.leaf(names, addresses, now)
	if err != nil {
		return nil, err
	}
	if old != nil {
		a.counts.Renewed++
	} else {
		a.counts.Issued++
	}
	if len(a.leaves) >= maxLeaves {
		clear(a.leaves) // they are soon made again
	}
	a.leaves[key] = cert
	return cert, nil
}

func (a *Authority) folder(w *identity.Want) string { return cmp.Or(w.Issuance.Storage, a.opt.Folder) }

// root gives the root of scope. With mu held.
func (a *Authority) root(w *identity.Want, scope string) (*root, error) {
	folder := a.folder(w)
	key := filepath.Join(folder, scope)
	now := a.opt.Now()
	if r := a.roots[key]; r != nil && now.Before(r.cert.NotAfter.Add(-rootLeft)) {
		return r, nil
	}
	var err error
	if folder == "" {
		err = errors.New("there is no folder to keep roots in: name one as storage")
	} else {
		var r *root
		var made bool
		if r, made, err = openRoot(folder, scope, now); err == nil {
			a.roots[key] = r
			delete(a.troubles, key)
			if made {
				a.log.Info("a root for developing was made; trust it to see no warnings (naru certs)", "valid for", strings.Join(r.cert.PermittedDNSDomains, ", "),
					"file", filepath.Join(key, rootFile))
			}
			return r, nil
		}
	}
	if a.troubles[key] == nil {
		a.counts.Failed++
	}
	a.troubles[key] = err
	return nil, err
}

// Issue implements identity.Issuer: Certificate has given all there is.
func (a *Authority) Issue(context.Context, string, *tls.ClientHelloInfo) (*tls.Certificate, error) {
	return nil, nil
}

// Challenge implements identity.Issuer: nobody has to prove anything.
func (a *Authority) Challenge(*tls.ClientHelloInfo) *tls.Certificate { return nil }

// Answer implements identity.Issuer.
func (a *Authority) Answer(_, _ []byte) []byte { return nil }

// Problems implements identity.Issuer.
func (a *Authority) Problems() (all []model.Problem) {
	a.mu.Lock()
	defer a.mu.Unlock()
	said := map[string]bool{}
	for _, listener := range a.order {
		w := a.wants[listener]
		for _, scope := range append([]string{reserved}, w.Names...) {
			if scope != reserved {
				scope = scopeOf(scope, scope)
			}
			key := filepath.Join(a.folder(w), scope)
			if err := a.troubles[key]; err != nil && !said[key] {
				said[key] = true
				all = append(all, model.Problem{Origin: w.Origin, Severity: model.Broken, Code: identity.NoAuthority,
					Message: "listener " + listener + " gets no local certificates: " + err.Error()})
			}
		}
	}
	return all
}

// Holdings implements identity.Issuer.
func (a *Authority) Holdings(max int) (all []identity.Holding) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, cert := range a.leaves {
		all = append(all, identity.Holding{Name: cert.Leaf.DNSNames[0], Issuer: cert.Leaf.Issuer.CommonName, NotAfter: cert.Leaf.NotAfter})
	}
	slices.SortFunc(all, func(x, y identity.Holding) int {
		return cmp.Or(strings.Compare(x.Name, y.Name), x.NotAfter.Compare(y.NotAfter))
	})
	all = slices.CompactFunc(all, func(x, y identity.Holding) bool { return x.Name == y.Name })
	return all[:min(len(all), max)]
}

// Counts implements identity.Issuer.
func (a *Authority) Counts() identity.Counts {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.counts
}

// Close implements identity.Issuer: nothing runs.
func (a *Authority) Close() {}
