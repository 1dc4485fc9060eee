package acme

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/naru-mesh/naru/identity"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/test/pebble"
)

const patience = 90 * time.Second

// site is a server whose certificates a Manager gives: what proxy and
// wire/secure are together, in small.
type site struct {
	t       *testing.T
	manager atomic.Pointer[Manager]
	http    *httptest.Server
	tls     net.Listener
}

func port(a net.Addr) int { return a.(*net.TCPAddr).Port }

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t}
	s.http = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if body := s.manager.Load().Answer([]byte(r.Host), []byte(r.URL.Path)); body != nil {
			_, _ = w.Write(body) // the authority asks again
			return
		}
		http.NotFound(w, r)
	}))
	t.Cleanup(s.http.Close)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{GetConfigForClient: s.config})
	if err != nil {
		t.Fatal(err)
	}
	s.tls = l
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer c.Close()
				_ = c.(*tls.Conn).Handshake() // its client tells how it went
			})
		}
	})
	t.Cleanup(func() { l.Close(); serving.Wait() })
	return s
}

func (s *site) config(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	m := s.manager.Load()
	if len(hello.SupportedProtos) == 1 && hello.SupportedProtos[0] == "acme-tls/1" {
		cert := m.Challenge(hello)
		if cert == nil {
			return nil, nil
		}
		return &tls.Config{Certificates: []tls.Certificate{*cert}, NextProtos: []string{"acme-tls/1"}}, nil
	}
	return &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		if cert := m.Certificate("l", hello); cert != nil {
			return cert, nil
		}
		return m.Issue(hello.Context(), "l", hello)
	}}, nil
}

// run gives the site a Manager that follows want.
func (s *site) run(opt Options, names []string, i *model.Issuance) *Manager {
	s.t.Helper()
	m := New(opt)
	s.t.Cleanup(m.Close)
	s.manager.Store(m)
	m.Follow([]identity.Want{{Listener: "l", Names: names, Issuance: i}})
	return m
}

// shake gives the certificate that name is served with.
func (s *site) shake(name string, roots *x509.CertPool) (*x509.Certificate, error) {
	d := tls.Dialer{Config: &tls.Config{ServerName: name, RootCAs: roots}}
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	c, err := d.DialContext(ctx, "tcp", s.tls.Addr().String())
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.(*tls.Conn).ConnectionState().PeerCertificates[0], nil
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	limit := time.Now().Add(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		if time.Now().After(limit) {
			t.Fatalf("it never happens that %s", what)
		}
		<-tick.C
	}
}

func issuance(p *pebble.Server) *model.Issuance {
	return &model.Issuance{By: model.ACME, Directory: p.Directory, DirectoryCAFile: p.CAFile, Email: "ops@example.com"}
}

// Each kind of proof is enough by itself, and what was got is there after a
// restart, without anybody being asked.
func TestHeldNames(t *testing.T) {
	t.Parallel()
	for kind, way := range map[string]func(s *site) pebble.Options{
		"http-01":     func(s *site) pebble.Options { return pebble.Options{HTTPPort: port(s.http.Listener.Addr())} },
		"tls-alpn-01": func(s *site) pebble.Options { return pebble.Options{TLSPort: port(s.tls.Addr())} },
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			p := pebble.Start(t, way(s))
			folder := filepath.Join(t.TempDir(), "acme")
			name := kind + ".held.test"
			m := s.run(Options{Folder: folder}, []string{name}, issuance(p))
			cert, err := s.shake(name, p.Roots())
			if err != nil {
				t.Fatal(err, m.Problems())
			}
			if n := m.Counts(); n.Issued != 1 || n.Challenges == 0 || n.Renewed != 0 {
				t.Errorf("counts %+v", n)
			}
			if h := m.Holdings(10); len(h) != 1 || h[0].Name != name || !h[0].NotAfter.Equal(cert.NotAfter) || !strings.Contains(h[0].Issuer, "Pebble") {
				t.Errorf("holdings %+v", h)
			}
			if list := m.Problems(); len(list) > 0 {
				t.Errorf("problems %v", list)
			}
			if nameless, err := s.shake("", nil); err == nil || nameless != nil {
				t.Error("an unverified handshake succeeded")
			}
			if _, err := s.shake("stranger.held.test", p.Roots()); err == nil {
				t.Error("a name that nobody wants is served")
			}
			private(t, folder)

			m.Close()
			asked := p.Orders()
			s.run(Options{Folder: folder}, []string{name}, issuance(p))
			again, err := s.shake(name, p.Roots())
			if err != nil {
				t.Fatal(err)
			}
			if !again.Equal(cert) || p.Orders() != asked {
				t.Errorf("after a restart there is another certificate (%d orders, %d before)", p.Orders(), asked)
			}
		})
	}
}

// private checks that nobody else can read what is stored.
func private(t *testing.T, folder string) {
	t.Helper()
	keys := 0
	err := filepath.Walk(folder, func(name string, info os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has the mode %v", name, info.Mode())
		}
		if strings.HasSuffix(name, ".key") {
			keys++
		}
		return nil
	})
	if err != nil || keys == 0 {
		t.Errorf("%d keys are stored: %v", keys, err)
	}
}

func TestOnDemand(t *testing.T) {
	t.Parallel()
	var questions atomic.Int64
	ask := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		questions.Add(1)
		switch name := r.URL.Query().Get("domain"); {
		case r.URL.Query().Get("key") != "k":
			w.WriteHeader(http.StatusUnauthorized)
		case strings.HasPrefix(name, "yes"):
		case strings.HasPrefix(name, "elsewhere"):
			http.Redirect(w, r, "/?key=k&domain=yes", http.StatusFound)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	t.Cleanup(ask.Close)
	s := newSite(t)
	p := pebble.Start(t, pebble.Options{TLSPort: port(s.tls.Addr()), HTTPPort: port(s.http.Listener.Addr())})
	i := issuance(p)
	i.OnDemand, i.Ask = []string{"*.demand.test"}, ask.URL+"/?key=k"
	m := s.run(Options{Folder: t.TempDir()}, nil, i)

	// All who ask for a name at once get the one certificate.
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if _, err := s.shake("yes.demand.test", p.Roots()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if p.Orders() != 1 || questions.Load() != 1 {
		t.Errorf("%d orders and %d questions for one name", p.Orders(), questions.Load())
	}

	for _, name := range []string{"no.demand.test", "elsewhere.demand.test", "yes.other.test", "demand.test", "yes"} {
		if _, err := s.shake(name, p.Roots()); err == nil {
			t.Errorf("%s is served", name)
		}
	}
	asked := questions.Load()
	if _, err := s.shake("no.demand.test", p.Roots()); err == nil {
		t.Error("what was refused is served")
	}
	if questions.Load() != asked || asked != 3 {
		t.Errorf("asked %d times, %d after a refusal was repeated; what no pattern allows is not asked for", asked, questions.Load())
	}
	if p.Orders() != 1 {
		t.Errorf("%d orders: one was refused and ordered all the same", p.Orders())
	}
	if list := m.Problems(); len(list) > 0 {
		t.Errorf("refusing strangers is no problem: %v", list)
	}

	// Without a rule there is nothing on demand.
	m.Follow([]identity.Want{{Listener: "l", Issuance: issuance(p)}})
	if _, err := s.shake("yes.demand.test", p.Roots()); err == nil {
		t.Error("what the rule allowed is served without the rule")
	}
}

// A flight that strangers cannot wait for goes on: the next one finds it.
func TestDemandOutlivesItsClient(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := pebble.Start(t, pebble.Options{TLSPort: port(s.tls.Addr())})
	i := issuance(p)
	i.OnDemand = []string{"hasty.test"}
	m := s.run(Options{Folder: t.TempDir()}, nil, i)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	hello := &tls.ClientHelloInfo{ServerName: "hasty.test"}
	if cert, err := m.Issue(gone, "l", hello); err == nil {
		t.Fatalf("there was a certificate at once: %v", cert)
	}
	eventually(t, "the certificate has come", func() bool { return m.Certificate("l", hello) != nil })
}

func TestRenewal(t *testing.T) {
	t.Parallel()
	// certmagic remembers for the process which names rest after a failure.
	name := fmt.Sprintf("n%d.renewed.test", time.Now().UnixNano())
	s := newSite(t)
	p := pebble.Start(t, pebble.Options{TLSPort: port(s.tls.Addr()), Validity: time.Hour})
	m := s.run(Options{Folder: t.TempDir(), Check: 20 * time.Millisecond, Left: 0.9999}, []string{name}, issuance(p))
	first, err := s.shake(name, p.Roots())
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "another certificate serves", func() bool {
		cert, err := s.shake(name, p.Roots())
		return err == nil && !cert.Equal(first)
	})
	if m.Counts().Renewed == 0 {
		t.Errorf("counts %+v", m.Counts())
	}

	// Without its authority the old one serves on, and that is told.
	p.Down(true)
	eventually(t, "the failure is told", func() bool {
		list := m.Problems()
		return len(list) == 1 && list[0].Code == "not-renewed" && list[0].Severity == model.Doubtful &&
			strings.Contains(list[0].Message, name) && strings.Contains(list[0].Hint, "serves until")
	})
	if _, err := s.shake(name, p.Roots()); err != nil {
		t.Error(err)
	}
	if m.Counts().Failed == 0 {
		t.Errorf("counts %+v", m.Counts())
	}
}

func TestAuthorityDown(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := pebble.Start(t, pebble.Options{})
	p.Down(true)
	i := issuance(p)
	i.OnDemand = []string{"demand.down.test"}
	m := s.run(Options{Folder: t.TempDir()}, []string{"held.down.test"}, i)
	for _, name := range []string{"held.down.test", "demand.down.test"} {
		if _, err := s.shake(name, p.Roots()); err == nil {
			t.Errorf("%s is served without a certificate", name)
		}
	}
	eventually(t, "both are told", func() bool { return len(m.Problems()) == 2 })
	for _, p := range m.Problems() {
		if p.Code != "no-certificate" || !strings.Contains(p.Message, ".down.test") || p.Hint == "" {
			t.Errorf("problem %+v", p)
		}
	}
	// It rests: nobody is asked for a while.
	if _, err := m.Issue(t.Context(), "l", &tls.ClientHelloInfo{ServerName: "demand.down.test"}); err == nil || !strings.Contains(err.Error(), "not tried again before") {
		t.Errorf("the next client gets %v", err)
	}
}

func TestNoAuthority(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("no PEM"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, i := range map[string]*model.Issuance{
		"no folder":      {},
		"cannot be kept": {Storage: filepath.Join(file, "below")},
		"holds no PEM":   {Storage: dir, DirectoryCAFile: file},
		"no such file":   {Storage: dir, DirectoryCAFile: filepath.Join(dir, "none")},
	} {
		m := New(Options{})
		t.Cleanup(m.Close)
		m.Follow([]identity.Want{{Listener: "l", Names: []string{"a.test"}, Issuance: i, Origin: model.Origin{Line: 7}}})
		list := m.Problems()
		if len(list) != 1 || list[0].Code != "no-authority" || !strings.Contains(list[0].Message, want) || list[0].Origin.Line != 7 {
			t.Errorf("problems %v, want one that says %q", list, want)
		}
		if m.Certificate("l", &tls.ClientHelloInfo{ServerName: "a.test"}) != nil {
			t.Error("a certificate out of nothing")
		}
	}
}

func TestAnswerIsForTheRightHostAndToken(t *testing.T) {
	t.Parallel()
	m := New(Options{})
	t.Cleanup(m.Close)
	for _, path := range []string{identity.ChallengePath, identity.ChallengePath + "token", "/", ""} {
		if got := m.Answer([]byte("nobody.test"), []byte(path)); got != nil {
			t.Errorf("%q is answered with %q", path, got)
		}
	}
	if m.Challenge(&tls.ClientHelloInfo{ServerName: "nobody.test"}) != nil {
		t.Error("a challenge that nobody made is answered")
	}
}
