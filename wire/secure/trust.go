package secure

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"os"
)

// trust is a bundle of authorities that was read.
type trust struct {
	name, file string // as messages name it; "" is inline
	pool       *x509.CertPool
	print      [sha256.Size]byte
	seen       sighting
	// doubtful and reported are as those of a certificate.
	doubtful, reported bool
}

// newTrust reads authorities from a file, or takes those of inline.
func newTrust(name, file string, inline []byte) (*trust, error) {
	t := &trust{name: name, file: file, seen: lookAt(file)}
	pem, err := read(name, file, inline)
	if err != nil {
		return nil, err
	}
	t.print = sha256.Sum256(pem)
	t.pool, err = roots(called(name, file), pem)
	return t, err
}

// CheckAuthorities reads authorities as Server and Client would; err says why
// they cannot be used.
func CheckAuthorities(name, file string, inline []byte) error {
	_, err := newTrust(name, file, inline)
	return err
}

// refresh gives the bundle that replaces t, nil if t stays, and what is to be
// reported. A file that cannot be used is tried again, quietly, at the next
// look: it may be in the middle of being written.
func (t *trust) refresh() (*trust, *report) {
	if t == nil || t.file == "" {
		return nil, nil
	}
	now := lookAt(t.file)
	moved := !now.same(t.seen)
	if !moved && !t.doubtful {
		return nil, nil
	}
	next, err := newTrust(t.name, t.file, nil)
	t.seen = now
	switch {
	case err != nil && moved:
		t.doubtful = true
		return nil, nil
	case err != nil:
		t.doubtful, t.reported = false, true
		return nil, &report{t.name, err}
	}
	t.doubtful = false
	if next.print == t.print && !t.reported {
		return nil, nil // touched
	}
	return next, &report{name: t.name}
}

// roots reads every certificate of a bundle.
func roots(name string, text []byte) (*x509.CertPool, error) {
	if _, err := firstBlock(name, text, func(t string) bool { return t == "CERTIFICATE" }, "CERTIFICATE"); err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(bytes.TrimSpace(text)) {
		return nil, fmt.Errorf("%s: no certificate in it can be read", name)
	}
	return pool, nil
}

// lookAt sees files; "" is none.
func lookAt(files ...string) (s sighting) {
	for i, name := range files {
		if name == "" {
			continue
		}
		if fi, err := os.Stat(name); err == nil {
			s[i] = fi
		}
	}
	return s
}

// verify checks a chain as shown, leaf first, by the authorities in pool; nil
// is the system's.
func verify(chain []*x509.Certificate, pool *x509.CertPool, usage x509.ExtKeyUsage) error {
	opts := x509.VerifyOptions{Roots: pool, Intermediates: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{usage}}
	for _, c := range chain[1:] {
		opts.Intermediates.AddCert(c)
	}
	_, err := chain[0].Verify(opts)
	return err
}
