package federation

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"strconv"

	"github.com/naru-mesh/naru/identity"
)

// Handler serves a bundle at any path (SPIFFE Federation, section 5.2). own
// gives the one of now, nil where there is none; any goroutine calls it.
func Handler(own func() *identity.Bundle) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "a bundle can be read, and nothing else", http.StatusMethodNotAllowed)
			return
		}
		b := own()
		if b == nil {
			http.Error(w, "the bundle is not known yet", http.StatusServiceUnavailable)
			return
		}
		doc, err := b.Document()
		if err != nil {
			http.Error(w, "the bundle cannot be given", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(doc)))
		if r.Method == http.MethodGet {
			_, _ = w.Write(doc) // who went away does not want it
		}
	})
}

// ServerTLS is for an endpoint of the profile https_spiffe: it shows the SVID
// of id. newest gives that, nil where there is none (wire.Identities'
// Certificate).
func ServerTLS(id identity.ID, newest func(id string) *tls.Certificate) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			if c := newest(string(id)); c != nil {
				return c, nil
			}
			return nil, fmt.Errorf("bundle endpoint: there is no SVID of %s", id)
		}}
}
