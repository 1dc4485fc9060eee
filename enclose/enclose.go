package enclose

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/naru-mesh/naru/model"
)

const (
	// again is how often files are looked at.
	again = 2 * time.Second
	// mostFile is more than any bundle of roots has.
	mostFile = 1 << 20
	// mostVersions are remembered for Of.
	mostVersions = 64
)

// Feed is a model.Feed whose nouns have in them what another's name as files.
type Feed struct {
	inner model.Feed
	log   *slog.Logger

	// Of the goroutine that calls Next.
	base   *model.Snapshot
	files  map[string]*file   // by name; those that base names
	pairs  map[string]*paired // by the name of the Certificate
	freeze model.Freezer

	mu   sync.Mutex
	made *model.Snapshot
	of   map[model.Version]model.Version
}

// file is what was read of one last.
type file struct {
	info fs.FileInfo
	text []byte // nil: it could not be read yet
	why  string // the last error
	used bool   // by the newest Snapshot
}

// paired is a certificate and its key that belong together.
type paired struct {
	chain, key []byte
	said       bool // that the files do not, any more
}

// New makes one. log is not nil.
func New(inner model.Feed, log *slog.Logger) *Feed {
	return &Feed{inner: inner, log: log, files: map[string]*file{}, pairs: map[string]*paired{}, of: map[model.Version]model.Version{}}
}

// Next implements model.Feed.
func (f *Feed) Next(ctx context.Context, after model.Version) (*model.Snapshot, error) {
	for {
		f.mu.Lock()
		made := f.made
		f.mu.Unlock()
		if made != nil && made.Version != after {
			return made, nil
		}
		s, err := f.wait(ctx)
		if err != nil {
			return nil, err
		}
		f.take(s)
	}
}

// wait is for another Snapshot, or until it is time to look at the files.
func (f *Feed) wait(ctx context.Context) (*model.Snapshot, error) {
	var seen model.Version
	short, cancel := ctx, context.CancelFunc(func() {})
	if f.base != nil {
		seen = f.base.Version
		if len(f.files) > 0 {
			short, cancel = context.WithTimeout(ctx, again)
		}
	}
	defer cancel()
	s, err := f.inner.Next(short, seen)
	if err != nil && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) && f.base != nil {
		return f.base, nil
	}
	return s, err
}

// take makes the Snapshot that is handed on.
func (f *Feed) take(s *model.Snapshot) {
	f.base = s
	for _, x := range f.files {
		x.used = false
	}
	made := s
	if c := f.enclosed(&s.Config); c != nil {
		made = f.freeze.Freeze(c)
	}
	for name, x := range f.files {
		if !x.used {
			delete(f.files, name)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.of) > mostVersions {
		clear(f.of)
	}
	f.of[made.Version] = s.Version
	f.made = made
}

// Of is the Version of the Snapshot that one of ours was made of, the same where
// it is not known.
func (f *Feed) Of(v model.Version) model.Version {
	f.mu.Lock()
	defer f.mu.Unlock()
	if base, ok := f.of[v]; ok {
		return base
	}
	return v
}

// enclosed is a copy of c whose nouns have what their files hold, nil where none
// names a file.
func (f *Feed) enclosed(c *model.Config) *model.Config {
	out := *c
	changed := f.certificates(&out)
	for i, v := range c.Services {
		if v.TLS == nil || v.TLS.CAFile == "" {
			continue
		}
		if text := f.read(v.TLS.CAFile); text != nil {
			if &out.Services[0] == &c.Services[0] {
				out.Services = slices.Clone(c.Services)
			}
			service, t := *v, *v.TLS
			t.CA, t.CAFile = text, ""
			service.TLS = &t
			out.Services[i], changed = &service, true
		}
	}
	for i, l := range c.Listeners {
		if l.ClientAuth == nil || l.ClientAuth.CAFile == "" {
			continue
		}
		if text := f.read(l.ClientAuth.CAFile); text != nil {
			if &out.Listeners[0] == &c.Listeners[0] {
				out.Listeners = slices.Clone(c.Listeners)
			}
			listener, a := *l, *l.ClientAuth
			a.CA, a.CAFile = text, ""
			listener.ClientAuth = &a
			out.Listeners[i], changed = &listener, true
		}
	}
	if !changed {
		return nil
	}
	return &out
}

// certificates encloses those of c.
func (f *Feed) certificates(c *model.Config) (changed bool) {
	before := f.pairs
	f.pairs = map[string]*paired{}
	list := c.Certificates
	for i, x := range list {
		if x.ChainFile == "" || x.KeyFile == "" {
			continue
		}
		p := f.pair(x, before[x.Name])
		if p == nil {
			continue
		}
		f.pairs[x.Name] = p
		if !changed {
			c.Certificates, changed = slices.Clone(list), true
		}
		certificate := *x
		certificate.Chain, certificate.Key, certificate.ChainFile, certificate.KeyFile = p.chain, p.key, "", ""
		c.Certificates[i] = &certificate
	}
	return changed
}

// pair is a certificate with its key: one of them is replaced before the other,
// so that what does not belong together leaves what was before.
func (f *Feed) pair(x *model.Certificate, before *paired) *paired {
	chain, key := f.read(x.ChainFile), f.read(x.KeyFile)
	if chain == nil || key == nil {
		return before
	}
	if before != nil && bytes.Equal(before.chain, chain) && bytes.Equal(before.key, key) {
		return before
	}
	if _, err := tls.X509KeyPair(chain, key); err != nil {
		if before != nil && !before.said {
			before.said = true
			f.log.Warn("a certificate for gateways elsewhere has changed and is not usable; that of before goes on", "certificate", x.ChainFile, "error", err)
		}
		return before
	}
	return &paired{chain: chain, key: key}
}

// read gives what a file holds, or held when it could be read last; nil where it
// never could.
func (f *Feed) read(name string) []byte {
	x := f.files[name]
	if x == nil {
		x = &file{}
		f.files[name] = x
	}
	if x.used {
		return x.text // it was looked at for another noun
	}
	x.used = true
	info, err := os.Stat(name)
	switch {
	case err != nil:
	case x.text != nil && x.why == "" && os.SameFile(info, x.info) && info.ModTime().Equal(x.info.ModTime()) && info.Size() == x.info.Size():
		return x.text
	case !info.Mode().IsRegular() || info.Size() > mostFile:
		err = fmt.Errorf("%s is no file of at most %d bytes", name, mostFile)
	default:
		var text []byte
		if text, err = os.ReadFile(name); err == nil {
			x.info, x.text, x.why = info, text, ""
			return text
		}
	}
	if why := err.Error(); why != x.why {
		x.why = why
		f.log.Warn("a file for proxies elsewhere cannot be read", "file", name, "error", err, "before", x.text != nil)
	}
	return x.text
}
