package local

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Files of a root in the folder of its scope.
const (
	rootFile = "root.pem"
	keyFile  = "root.key"
)

const (
	rootLife = 5 * 365 * 24 * time.Hour
	// rootLeft is what must be left of a root's life, or another takes its
	// place, which has to be trusted anew.
	rootLeft = 30 * 24 * time.Hour
	// backdate is for clients whose clocks are behind.
	backdate = time.Hour
)

// reserved is the scope of names that are nobody's (RFC 6761).
const reserved = "reserved"

// scopeOf is the scope of a name that was allowed by pattern.
func scopeOf(name, pattern string) string {
	switch last := name[strings.LastIndexByte(name, '.')+1:]; {
	case last == "localhost", last == "test":
		return reserved
	case net.ParseIP(name) != nil:
		return reserved
	}
	return strings.TrimPrefix(pattern, "*.")
}

// root signs leaves.
type root struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// openRoot reads the root of scope below folder, or makes it.
func openRoot(folder, scope string, now time.Time) (*root, bool, error) {
	at := filepath.Join(folder, scope)
	r, err := readRoot(at)
	if err == nil && now.Before(r.cert.NotAfter.Add(-rootLeft)) {
		return r, false, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, false, err
	}
	if err == nil {
		if err := os.RemoveAll(at); err != nil {
			return nil, false, err
		}
	}
	if r, err = newRoot(scope, now); err != nil {
		return nil, false, err
	}
	kept, err := r.save(folder, at)
	return kept, kept == r, err
}

func readRoot(at string) (*root, error) {
	chain, err := os.ReadFile(filepath.Join(at, rootFile))
	if err != nil {
		return nil, err
	}
	key, err := os.ReadFile(filepath.Join(at, keyFile))
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", at, err)
	}
	signer, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok || !pair.Leaf.IsCA {
		return nil, fmt.Errorf("%s: this is no root of naru", at)
	}
	return &root{pair.Leaf, signer}, nil
}

// newRoot makes a root that is valid for scope alone.
func newRoot(scope string, now time.Time) (*root, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{Organization: []string{"naru"}, CommonName: "naru local authority, " + scope},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(rootLife),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true, // it signs no other authority
		KeyUsage:              x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},

		PermittedDNSDomainsCritical: true,
	}
	if scope == reserved {
		t.PermittedDNSDomains = []string{"localhost", "test"}
		t.PermittedIPRanges = []*net.IPNet{
			{IP: net.IPv4(127, 0, 0, 0).To4(), Mask: net.CIDRMask(8, 32)},
			{IP: net.IPv6loopback, Mask: net.CIDRMask(128, 128)},
		}
	} else {
		t.PermittedDNSDomains = []string{scope}
		// A kind of name that is not mentioned would be free.
		t.ExcludedIPRanges = []*net.IPNet{
			{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)},
			{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)},
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return &root{cert, key}, err
}

// save puts r at its place, complete or not at all. Where another process was
// first, that one's root is given.
func (r *root) save(folder, at string) (*root, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(r.key)
	if err != nil {
		return nil, err
	}
	made, err := os.MkdirTemp(folder, ".new-*") // of mode 0700
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(made)
	for name, block := range map[string]*pem.Block{
		rootFile: {Type: "CERTIFICATE", Bytes: r.cert.Raw},
		keyFile:  {Type: "PRIVATE KEY", Bytes: der},
	} {
		var text bytes.Buffer
		if err := pem.Encode(&text, block); err != nil {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(made, name), text.Bytes(), 0o600); err != nil {
			return nil, err
		}
	}
	if err := os.Rename(made, at); err != nil {
		if other, read := readRoot(at); read == nil {
			return other, nil
		}
		return nil, err
	}
	return r, nil
}

func serial() *big.Int {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails
	b[0] &= 0x7f
	return new(big.Int).SetBytes(b)
}

// leaf signs a certificate for names and addresses.
func (r *root) leaf(names []string, addresses []net.IP, now time.Time) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{Organization: []string{"naru local development"}},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(leafLife),
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:              names,
		IPAddresses:           addresses,
	}
	if t.NotBefore.Before(r.cert.NotBefore) {
		t.NotBefore = r.cert.NotBefore
	}
	der, err := x509.CreateCertificate(rand.Reader, t, r.cert, key.Public(), r.key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: cert}, err
}
