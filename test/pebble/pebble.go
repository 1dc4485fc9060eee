// Package pebble runs Let's Encrypt's test authority within a test: an ACME
// server on the loopback that proves names for real, on ports that the test
// chooses, for whatever names the test likes.
package pebble

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log"
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

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
	"github.com/miekg/dns"
	"golang.org/x/crypto/ocsp"
)

// Options of a Server.
type Options struct {
	// Ports of 127.0.0.1 on which names are proved; 0 is none.
	HTTPPort, TLSPort int
	// Validity of certificates; 0 is 90 days. Whole seconds.
	Validity time.Duration
	// OCSP has certificates name a responder, which finds them good.
	OCSP bool
}

// Server is a running authority.
type Server struct {
	Directory string // its URL
	CAFile    string // the roots that its own certificate is checked with

	ca     *ca.CAImpl
	down   atomic.Bool
	orders atomic.Int64
	vouch  atomic.Int64
}

// environment is how Pebble is told to be quick and to refuse nothing at
// random.
var environment = sync.OnceValue(func() error {
	for _, kv := range [][2]string{{"PEBBLE_VA_NOSLEEP", "1"}, {"PEBBLE_WFE_NONCEREJECT", "0"}, {"PEBBLE_AUTHZREUSE", "0"}} {
		if err := os.Setenv(kv[0], kv[1]); err != nil {
			return err
		}
	}
	return nil
})

// Start runs an authority until the end of the test.
func Start(t testing.TB, opt Options) *Server {
	t.Helper()
	if err := environment(); err != nil {
		t.Fatal(err)
	}
	if opt.Validity == 0 {
		opt.Validity = 90 * 24 * time.Hour
	}
	for _, port := range []*int{&opt.HTTPPort, &opt.TLSPort} {
		if *port == 0 {
			*port = 1 // where nobody listens
		}
	}
	quiet := log.New(io.Discard, "", 0)
	store := db.NewMemoryStore()
	s := &Server{}
	responder, keys := "", "ecdsa"
	if opt.OCSP {
		responder, keys = s.responder(t), "rsa" // Pebble lends no other kind of key
	}
	s.ca = ca.New(quiet, store, responder, keys, 0, 1, map[string]ca.Profile{
		"default": {Description: "the only one", ValidityPeriod: uint64(opt.Validity / time.Second)},
	})
	prover := va.New(quiet, opt.HTTPPort, opt.TLSPort, false, names(t), store)
	front := wfe.New(quiet, store, prover, s.ca, []string{"pebble.test"}, false, false, 1, 1)
	inner := front.Handler()
	web := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.down.Load() {
			panic(http.ErrAbortHandler)
		}
		if strings.HasPrefix(r.URL.Path, "/order-plz") {
			s.orders.Add(1)
		}
		inner.ServeHTTP(w, r)
	}))
	web.Config.ErrorLog = quiet
	web.StartTLS()
	t.Cleanup(web.Close)
	s.Directory = web.URL + wfe.DirectoryPath
	s.CAFile = filepath.Join(t.TempDir(), "directory.pem")
	var text bytes.Buffer
	if err := pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: web.Certificate().Raw}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.CAFile, text.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

// responder says of every certificate that it is good (RFC 6960).
func (s *Server) responder(t testing.TB) string {
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		asked, err := ocsp.ParseRequest(body)
		if err != nil {
			t.Error(err)
			return
		}
		now := time.Now().Truncate(time.Minute)
		issuer := s.ca.GetIntermediateCert(0).Cert
		answer, err := ocsp.CreateResponse(issuer, issuer, ocsp.Response{
			Status: ocsp.Good, SerialNumber: asked.SerialNumber, ThisUpdate: now, NextUpdate: now.Add(time.Hour),
		}, s.ca.GetIntermediateKey(0))
		if err != nil {
			t.Error(err)
		}
		s.vouch.Add(1)
		_, _ = w.Write(answer) // whoever asked may have gone
	}))
	t.Cleanup(web.Close)
	return web.URL
}

// Issuer signs what the authority issues.
func (s *Server) Issuer() *x509.Certificate { return s.ca.GetIntermediateCert(0).Cert }

// Vouched is how often the responder was asked.
func (s *Server) Vouched() int64 { return s.vouch.Load() }

// names answers the authority's questions where names are: here.
func names(t testing.TB) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{Listener: l, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		a := new(dns.Msg)
		a.SetReply(q)
		if len(q.Question) == 1 && q.Question[0].Qtype == dns.TypeA {
			a.Answer = append(a.Answer, &dns.A{
				Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 1},
				A:   net.IPv4(127, 0, 0, 1),
			})
		}
		_ = w.WriteMsg(a) // whoever asked asks again
	})}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.ActivateAndServe() }) // ends with the listener
	t.Cleanup(func() { l.Close(); serving.Wait() })
	return l.Addr().String()
}

// Roots are what clients trust who trust this authority.
func (s *Server) Roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(s.ca.GetRootCert(0).Cert)
	return pool
}

// Orders is how many certificates were asked for.
func (s *Server) Orders() int64 { return s.orders.Load() }

// Down makes the authority cut connections, or work again.
func (s *Server) Down(yes bool) { s.down.Store(yes) }
