package link

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"github.com/naru-mesh/naru/identity"
)

// Bounds of handshakes. When two thousand come at once, as after a control
// plane was away, all of them together would be too slow for any: they take
// turns, and wait for theirs.
const (
	mostHandshakes = 64
	handshakeTime  = time.Minute
	// turnTime is how long one that says nothing keeps its turn.
	turnTime = 2 * time.Second
	// dialTime bounds the connection itself: a server that is not there must
	// not be waited for as one that is busy.
	dialTime = 5 * time.Second
)

// queued lets a bounded number of handshakes happen at once.
type queued struct {
	credentials.TransportCredentials
	turns  chan struct{}
	guests *guests
}

func (q queued) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	wait := time.NewTimer(handshakeTime)
	defer wait.Stop()
	select {
	case q.turns <- struct{}{}:
	case <-wait.C:
		return nil, nil, errors.New("too many handshakes")
	}
	leave := sync.OnceFunc(func() { <-q.turns })
	defer leave()
	stuck := time.AfterFunc(turnTime, leave)
	defer stuck.Stop()
	c, info, err := q.TransportCredentials.ServerHandshake(conn)
	if t, ok := info.(credentials.TLSInfo); err == nil && ok && len(t.State.PeerCertificates) == 0 {
		c, err = q.guests.admit(c, time.Now())
	}
	return c, info, err
}

func (q queued) Clone() credentials.TransportCredentials {
	return queued{q.TransportCredentials.Clone(), q.turns, q.guests}
}

// NodeID is the identity of a node's proxy.
func NodeID(trustDomain, node string) identity.ID {
	return identity.ID("spiffe://" + trustDomain + "/node/" + node)
}

// ControlID is the identity of a replica of the control plane.
func ControlID(trustDomain, name string) identity.ID {
	return identity.ID("spiffe://" + trustDomain + "/control/" + name)
}

// lastOf gives the name in an ID of the form spiffe://td/<what>/<name>.
func lastOf(id identity.ID, trustDomain, what string) (string, bool) {
	name, ok := strings.CutPrefix(string(id), "spiffe://"+trustDomain+"/"+what+"/")
	return name, ok && name != "" && !strings.Contains(name, "/")
}

// idOf gives the only URI of a leaf (X509-SVID, section 2).
func idOf(leaf *x509.Certificate) (identity.ID, error) {
	if len(leaf.URIs) != 1 || leaf.IsCA {
		return "", errors.New("the certificate is no X509-SVID")
	}
	return identity.ID(leaf.URIs[0].String()), nil
}

func newKey() (crypto.Signer, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	return key, csr, err
}

func parseChain(chain [][]byte) (leaf *x509.Certificate, rest *x509.CertPool, err error) {
	rest = x509.NewCertPool()
	for i, der := range chain {
		c, err := x509.ParseCertificate(der)
		switch {
		case err != nil:
			return nil, nil, err
		case i == 0:
			leaf = c
		default:
			rest.AddCert(c)
		}
	}
	if leaf == nil {
		return nil, nil, errors.New("the chain is empty")
	}
	return leaf, rest, nil
}

// verify checks a chain that the other side showed, for a use.
func verify(chain []*x509.Certificate, roots *x509.CertPool, use x509.ExtKeyUsage, now time.Time) error {
	rest := x509.NewCertPool()
	for _, c := range chain[1:] {
		rest.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: rest, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{use}})
	return err
}

// tlsConfig lets in nodes of our own trust domain, joiners, and strangers
// without a certificate, who may do nothing but join.
func (s *Server) tlsConfig() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		ClientAuth: tls.RequestClientCert,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return &s.identity.Load().certificate, nil
		},
		VerifyConnection: func(state tls.ConnectionState) error {
			if len(state.PeerCertificates) == 0 {
				return nil
			}
			if _, err := s.caller(state.PeerCertificates); err != nil {
				s.refuse(whyCertificate, "subject", subjectOf(state.PeerCertificates[0]), "err", err)
				return err
			}
			return nil
		},
		SessionTicketsDisabled: true, // a resumed connection would show an old certificate
	}
}

func subjectOf(leaf *x509.Certificate) string {
	if id, err := idOf(leaf); err == nil {
		return string(id)
	}
	return leaf.Subject.String()
}

// caller is who is at the other end.
type caller struct {
	node    string            // of an SVID
	control string            // or: a replica of ours
	joiner  *Joiner           // or: of whose certificate
	leaf    *x509.Certificate // nil: a stranger
	address string
}

// caller says who shows a chain; now, not when the connection began.
func (s *Server) caller(chain []*x509.Certificate) (caller, error) {
	now := s.options.Now()
	c := caller{leaf: chain[0]}
	err := verify(chain, s.bundles.Load().pool, x509.ExtKeyUsageClientAuth, now)
	if err == nil {
		id, err := idOf(c.leaf)
		if err != nil {
			return c, err
		}
		if name, ok := lastOf(id, s.options.TrustDomain, "control"); ok {
			c.control = name
			return c, nil
		}
		node, ok := lastOf(id, s.options.TrustDomain, "node")
		if !ok {
			return c, fmt.Errorf("%s is not a node of %s", id, s.options.TrustDomain)
		}
		c.node = node
		return c, nil
	}
	for i := range s.options.Joiners {
		j := &s.options.Joiners[i]
		if verify(chain, j.Roots, x509.ExtKeyUsageClientAuth, now) == nil {
			c.joiner = j
			return c, nil
		}
	}
	return c, identity.ByClock(err, now)
}

// from gives who makes a call.
func (s *Server) from(ctx context.Context) (caller, error) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return caller{}, errors.New("the connection has no peer")
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok {
		return caller{}, errors.New("the connection has no TLS")
	}
	if len(info.State.PeerCertificates) == 0 {
		return caller{address: p.Addr.String()}, nil
	}
	c, err := s.caller(info.State.PeerCertificates)
	c.address = p.Addr.String()
	return c, err
}

// clientTLS shows what certificate gives and believes control planes of the
// trust domain, by what roots gives.
func clientTLS(trustDomain string, certificate func() *tls.Certificate, roots func() *x509.CertPool, now func() time.Time) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		// SPIFFE has no host names; VerifyConnection checks all there is.
		InsecureSkipVerify: true,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			if c := certificate(); c != nil {
				return c, nil
			}
			return &tls.Certificate{}, nil
		},
		VerifyConnection: func(state tls.ConnectionState) error {
			return checkControl(state.PeerCertificates, trustDomain, roots(), now())
		},
	}
}

// checkControl checks that a chain is a control plane's.
func checkControl(chain []*x509.Certificate, trustDomain string, roots *x509.CertPool, now time.Time) error {
	if len(chain) == 0 {
		return errors.New("the server showed no certificate")
	}
	if err := verify(chain, roots, x509.ExtKeyUsageServerAuth, now); err != nil {
		return fmt.Errorf("the control plane's certificate: %w", identity.ByClock(err, now))
	}
	id, err := idOf(chain[0])
	if err != nil {
		return err
	}
	if _, ok := lastOf(id, trustDomain, "control"); !ok {
		return fmt.Errorf("%s is no control plane of %s", id, trustDomain)
	}
	return nil
}

// pinnedTLS believes a server whose chain ends in the root of that hash, and
// nothing else. Of one that shows another, other is told that one's hash, or
// zero where it shows none.
func pinnedTLS(trustDomain string, root [sha256.Size]byte, certificate *tls.Certificate, now func() time.Time, other func([sha256.Size]byte)) *tls.Config {
	c := clientTLS(trustDomain, func() *tls.Certificate { return certificate }, nil, now)
	c.VerifyConnection = func(state tls.ConnectionState) error {
		chain := state.PeerCertificates
		i := slices.IndexFunc(chain, func(x *x509.Certificate) bool { return RootHash(x) == root })
		if i <= 0 {
			var its [sha256.Size]byte
			if len(chain) > 0 && chain[len(chain)-1].IsCA {
				its = RootHash(chain[len(chain)-1])
			}
			other(its)
			return errOtherRoot
		}
		pool := x509.NewCertPool()
		pool.AddCert(chain[i])
		return checkControl(chain, trustDomain, pool, now())
	}
	return c
}

// wireBundles are identity.Bundles as they travel. The first is our own.
type wireBundles struct {
	Sum       string
	Bundles   []wireBundle
	Forgotten []wireForgotten
}

// wireForgotten is an identity.Forgotten.
type wireForgotten struct {
	Machine, ID  string
	Issued, From int64 // Unix nanoseconds
}

type wireBundle struct {
	TrustDomain string
	Roots       [][]byte          // DER
	Keys        map[string][]byte // PKIX
	Sequence    uint64
	Refresh     int64 // nanoseconds
}

func writeBundles(b *identity.Bundles) (*wireBundles, error) {
	if b == nil || b.Own == nil {
		return nil, errors.New("there is no bundle of our own trust domain")
	}
	w := &wireBundles{}
	hash := sha256.New()
	for _, x := range append([]*identity.Bundle{b.Own}, b.Federated...) {
		one := wireBundle{TrustDomain: x.TrustDomain, Sequence: x.Sequence, Refresh: int64(x.Refresh), Keys: map[string][]byte{}}
		for _, root := range x.Roots {
			one.Roots = append(one.Roots, root.Raw)
		}
		for id, key := range x.Keys {
			der, err := x509.MarshalPKIXPublicKey(key)
			if err != nil {
				return nil, fmt.Errorf("key %s of %s: %w", id, x.TrustDomain, err)
			}
			one.Keys[id] = der
		}
		body := encode(nil, &one)
		hash.Write(binary.AppendUvarint(nil, uint64(len(body))))
		hash.Write(body)
		w.Bundles = append(w.Bundles, one)
	}
	for i := range b.Forgotten {
		f := &b.Forgotten[i]
		w.Forgotten = append(w.Forgotten, wireForgotten{f.Machine, string(f.ID), f.Issued.UnixNano(), f.From.UnixNano()})
		hash.Write(encode(nil, &w.Forgotten[i]))
	}
	w.Sum = string(hash.Sum(nil)[:sumLength])
	return w, nil
}

func readBundles(w *wireBundles) (*identity.Bundles, *x509.CertPool, error) {
	out := &identity.Bundles{}
	pool := x509.NewCertPool()
	for i, x := range w.Bundles {
		one := &identity.Bundle{TrustDomain: x.TrustDomain, Sequence: x.Sequence, Refresh: time.Duration(x.Refresh), Keys: map[string]crypto.PublicKey{}}
		for _, der := range x.Roots {
			root, err := x509.ParseCertificate(der)
			if err != nil {
				return nil, nil, fmt.Errorf("bundle %s: %w", x.TrustDomain, err)
			}
			one.Roots = append(one.Roots, root)
			if i == 0 {
				pool.AddCert(root)
			}
		}
		for id, der := range x.Keys {
			key, err := x509.ParsePKIXPublicKey(der)
			if err != nil {
				return nil, nil, fmt.Errorf("bundle %s, key %s: %w", x.TrustDomain, id, err)
			}
			one.Keys[id] = key
		}
		if i == 0 {
			out.Own = one
		} else {
			out.Federated = append(out.Federated, one)
		}
	}
	if out.Own == nil || len(out.Own.Roots) == 0 {
		return nil, nil, errors.New("the bundle of our own trust domain is empty")
	}
	for _, f := range w.Forgotten {
		out.Forgotten = append(out.Forgotten, identity.Forgotten{Machine: f.Machine, ID: identity.ID(f.ID), Issued: time.Unix(0, f.Issued).UTC(), From: time.Unix(0, f.From).UTC()})
	}
	return out, pool, nil
}
