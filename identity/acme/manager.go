package acme

import (
	"cmp"
	"context"
	"crypto/tls"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/certmagic"

	"github.com/naru-mesh/naru/identity"
	"github.com/naru-mesh/naru/model"
)

// Options of a Manager.
type Options struct {
	// Folder is where Issuances that name no storage keep theirs.
	Folder string
	Log    *slog.Logger
	// Check is how often it is looked what is to be renewed; 0 is 10 minutes.
	Check time.Duration
	// Left is the part of a certificate's life that is left when it is
	// renewed; 0 is a third.
	Left float64
}

// Manager implements identity.Issuer.
type Manager struct {
	opt    Options
	log    *slog.Logger
	counts counts
	now    atomic.Pointer[wanted]

	mu          sync.Mutex // of what follows; never held while waiting
	anchor      *anchor    // from the first authority on
	authorities map[account]*authority
	failed      []model.Problem // Wants whose authority could not be set up
	closed      bool
}

var _ identity.Issuer = (*Manager)(nil)

type counts struct{ issued, renewed, failed, challenges atomic.Uint64 }

// account is what makes an authority: Wants that agree on it share one.
type account struct{ directory, caFile, email, storage string }

// wanted is what a Follow left; it does not change.
type wanted struct{ listeners map[string]*want }

// want is an identity.Want prepared.
type want struct {
	identity.Want
	names map[string]bool
	from  *authority
}

// New makes a Manager that nobody wants anything of yet.
func New(opt Options) *Manager {
	m := &Manager{opt: opt, log: opt.Log, authorities: map[account]*authority{}}
	if m.log == nil {
		m.log = slog.New(slog.DiscardHandler)
	}
	m.now.Store(&wanted{})
	return m
}

// Follow implements identity.Issuer.
func (m *Manager) Follow(wants []identity.Want) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return
	}
	m.failed = nil
	next := &wanted{listeners: make(map[string]*want, len(wants))}
	names := map[*authority]map[string]bool{}
	for _, w := range wants {
		a, err := m.authority(w.Issuance)
		if err != nil {
			m.failed = append(m.failed, model.Problem{Origin: w.Origin, Severity: model.Broken, Code: identity.NoAuthority,
				Message: "listener " + w.Listener + " gets no certificates: " + err.Error()})
			continue
		}
		if names[a] == nil {
			names[a] = map[string]bool{}
		}
		one := &want{Want: w, from: a, names: make(map[string]bool, len(w.Names))}
		for _, name := range w.Names {
			one.names[name], names[a][name] = true, true
		}
		next.listeners[w.Listener] = one
	}
	m.now.Store(next)
	for key, a := range m.authorities {
		if names[a] == nil {
			delete(m.authorities, key)
			a.close()
			continue
		}
		var demands []*model.Issuance
		for _, w := range next.listeners {
			if w.from == a {
				demands = append(demands, w.Issuance)
			}
		}
		a.hold(names[a], demands)
	}
}

// authority gives the one of i, with mu held.
func (m *Manager) authority(i *model.Issuance) (*authority, error) {
	storage := i.Storage
	if storage == "" {
		storage = m.opt.Folder
	}
	if storage != "" {
		var err error
		if storage, err = filepath.Abs(storage); err != nil {
			return nil, err
		}
	}
	key := account{i.Directory, i.DirectoryCAFile, i.Email, storage}
	if a := m.authorities[key]; a != nil {
		return a, nil
	}
	if m.anchor == nil {
		var err error
		if m.anchor, err = newAnchor(); err != nil {
			return nil, err
		}
	}
	a, err := newAuthority(m, key)
	if err == nil {
		m.authorities[key] = a
	}
	return a, err
}

// Certificate implements identity.Issuer.
func (m *Manager) Certificate(listener string, hello *tls.ClientHelloInfo) *tls.Certificate {
	w := m.now.Load().listeners[listener]
	if w == nil {
		return nil
	}
	name := identity.ServerName(hello.ServerName)
	if name == "" && len(w.Names) > 0 {
		name = w.Names[0]
	}
	switch {
	case w.names[name]:
		return w.from.stored(name, hello)
	case w.demanded(name):
		return w.from.storedOnDemand(name, hello)
	}
	return nil
}

// Issue implements identity.Issuer.
func (m *Manager) Issue(ctx context.Context, listener string, hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	w := m.now.Load().listeners[listener]
	if w == nil {
		return nil, nil
	}
	name := identity.ServerName(hello.ServerName)
	switch {
	case w.names[name]:
		if err := w.from.await(ctx, name); err != nil {
			return nil, err
		}
		return w.from.stored(name, hello), nil
	case w.demanded(name):
		return w.from.demand(ctx, name, hello)
	}
	return nil, nil
}

// Problems implements identity.Issuer.
func (m *Manager) Problems() []model.Problem {
	m.mu.Lock()
	all := slices.Clone(m.failed)
	m.mu.Unlock()
	now := m.now.Load()
	said := map[string]bool{}
	for _, listener := range sorted(now.listeners) {
		w := now.listeners[listener]
		for _, name := range w.Names {
			if said[name] {
				continue
			}
			said[name] = true
			if p, ok := w.from.problem(name); ok {
				p.Origin = w.Origin
				all = append(all, p)
			}
		}
		for _, p := range w.from.demandProblems(w) {
			if !said[p.Message] {
				said[p.Message] = true
				p.Origin = w.Origin
				all = append(all, p)
			}
		}
	}
	return all
}

// Holdings implements identity.Issuer.
func (m *Manager) Holdings(max int) (all []identity.Holding) {
	m.mu.Lock()
	list := make([]*authority, 0, len(m.authorities))
	for _, a := range m.authorities {
		list = append(list, a)
	}
	m.mu.Unlock()
	for _, a := range list {
		all = append(all, a.holdings()...)
	}
	slices.SortFunc(all, func(a, b identity.Holding) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), a.NotAfter.Compare(b.NotAfter))
	})
	all = slices.CompactFunc(all, func(a, b identity.Holding) bool { return a.Name == b.Name })
	return all[:min(len(all), max)]
}

// Counts implements identity.Issuer.
func (m *Manager) Counts() identity.Counts {
	return identity.Counts{
		Issued: m.counts.issued.Load(), Renewed: m.counts.renewed.Load(),
		Failed: m.counts.failed.Load(), Challenges: m.counts.challenges.Load(),
	}
}

// Close implements identity.Issuer.
func (m *Manager) Close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return
	}
	m.closed = true
	m.now.Store(&wanted{})
	for _, a := range m.authorities {
		a.close()
	}
	if m.anchor != nil {
		m.anchor.close()
	}
	// What is being ordered is given up, and the next process need not wait for
	// its locks to grow old.
	certmagic.CleanUpOwnLocks(context.Background(), newZap(m.log))
}

func sorted[T any](m map[string]T) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
