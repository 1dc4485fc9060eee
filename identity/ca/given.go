package ca

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/naru-mesh/naru/identity"
)

// Given is an authority of somebody else, in PEM files. They are read again
// every minute; what is then not usable is said, and the old goes on.
type Given struct {
	// ChainFile is the certificate that signs, first, then those above it.
	// Where it may have authorities below it, each replica makes itself an
	// intermediate; else it signs for workloads directly.
	ChainFile string
	KeyFile   string
	// RootsFile are the roots that are published. "" is the last of ChainFile,
	// which must then be a root. To rotate, put the new root beside the old.
	RootsFile string
}

// issuer is what can sign: a root, or what a root has signed.
type issuer struct {
	cert  *x509.Certificate
	key   crypto.Signer
	above [][]byte // DER: cert and what is between it and the root, without it
	root  []byte   // DER
	roots [][]byte // given: all that are published
}

// deep says whether it may have an authority below it.
func (i *issuer) deep() bool {
	return i.cert.MaxPathLen != 0 || !i.cert.MaxPathLenZero
}

func (g *Given) read(trustDomain string, now time.Time) (*issuer, error) {
	pair, err := tls.LoadX509KeyPair(g.ChainFile, g.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("the given authority %s with key %s: %w", g.ChainFile, g.KeyFile, err)
	}
	key, ok := pair.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("the key in %s cannot sign", g.KeyFile)
	}
	if err := checkKey(key.Public()); err != nil {
		return nil, fmt.Errorf("the key in %s: %w", g.KeyFile, err)
	}
	var chain []*x509.Certificate
	for _, der := range pair.Certificate {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", g.ChainFile, err)
		}
		if err := identity.CheckSigner(cert, trustDomain); err != nil {
			return nil, fmt.Errorf("%s: %w", g.ChainFile, err)
		}
		chain = append(chain, cert)
	}
	i := &issuer{cert: chain[0], key: key}
	roots := chain[len(chain)-1:]
	if g.RootsFile != "" {
		if roots, err = readCertificates(g.RootsFile); err != nil {
			return nil, err
		}
	} else if !bytes.Equal(roots[0].RawIssuer, roots[0].RawSubject) {
		return nil, fmt.Errorf("the last certificate in %s is not a root: name the file of the roots", g.ChainFile)
	}
	pool, between := x509.NewCertPool(), x509.NewCertPool()
	for _, r := range roots {
		if err := identity.CheckSigner(r, trustDomain); err != nil {
			return nil, fmt.Errorf("%s: %w", g.RootsFile, err)
		}
		pool.AddCert(r)
		i.roots = append(i.roots, r.Raw)
	}
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	paths, err := chain[0].Verify(x509.VerifyOptions{Roots: pool, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	if err != nil {
		return nil, fmt.Errorf("no given root confirms %s: %w", g.ChainFile, err)
	}
	path := paths[0]
	i.root = path[len(path)-1].Raw
	for _, c := range path[:len(path)-1] {
		i.above = append(i.above, c.Raw)
	}
	return i, nil
}

func readCertificates(file string) ([]*x509.Certificate, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var all []*x509.Certificate
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		all = append(all, cert)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s: %w", file, errors.New("there is no certificate in it"))
	}
	return all, nil
}
