package main

import (
	"cmp"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"math/big"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/naru-mesh/naru/identity"
	"github.com/naru-mesh/naru/store"
)

// authority signs with one root, which does not change.
type authority struct {
	root    *x509.Certificate
	key     *ecdsa.PrivateKey
	bundles *identity.Bundles
}

func newAuthority() (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	root, err := x509.ParseCertificate(der)
	return &authority{root, key, &identity.Bundles{Own: &identity.Bundle{TrustDomain: domain, Roots: []*x509.Certificate{root}, Keys: map[string]crypto.PublicKey{}}}}, err
}

func (a *authority) SignX509(_ context.Context, id identity.ID, csr []byte, _ time.Duration) ([][]byte, error) {
	request, err := x509.ParseCertificateRequest(csr)
	if err != nil {
		return nil, err
	}
	if err := request.CheckSignature(); err != nil {
		return nil, err
	}
	uri, err := url.Parse(string(id))
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: serial, URIs: []*url.URL{uri}, NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}}, a.root, request.PublicKey, a.key)
	return [][]byte{der}, err
}

func (a *authority) SignJWT(context.Context, identity.ID, []string, time.Duration) (string, error) {
	return "", errors.New("not measured")
}

func (a *authority) Bundles(ctx context.Context, after *identity.Bundles) (*identity.Bundles, error) {
	if after == a.bundles {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return a.bundles, nil
}

// memoryStore is what the link needs of a store.Store, in memory.
type memoryStore struct {
	store.Store
	mu    sync.Mutex
	at    store.Revision
	items map[string]store.Item
	lease store.LeaseID
}

func newMemory() *memoryStore { return &memoryStore{items: map[string]store.Item{}} }

func (m *memoryStore) Get(_ context.Context, key string) (store.Item, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	item, ok := m.items[key]
	if !ok {
		return item, store.ErrNotFound
	}
	return item, nil
}

func (m *memoryStore) List(_ context.Context, prefix string) ([]store.Item, store.Revision, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []store.Item
	for k, item := range m.items {
		if strings.HasPrefix(k, prefix) {
			list = append(list, item)
		}
	}
	slices.SortFunc(list, func(a, b store.Item) int { return cmp.Compare(a.Key, b.Key) })
	return list, m.at, nil
}

func (m *memoryStore) Txn(_ context.Context, conds []store.Cond, ops ...store.Op) (store.Revision, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range conds {
		if m.items[c.Key].Changed != c.Changed {
			return m.at, false, nil
		}
	}
	m.at++
	for _, op := range ops {
		if op.Delete {
			delete(m.items, op.Key)
		} else {
			m.items[op.Key] = store.Item{Key: op.Key, Value: op.Value, Lease: op.Lease, Changed: m.at}
		}
	}
	return m.at, true, nil
}

func (m *memoryStore) Lease(context.Context, time.Duration) (store.LeaseID, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lease++
	return m.lease, nil
}

func (m *memoryStore) KeepAlive(context.Context, store.LeaseID) error { return nil }
func (m *memoryStore) Revoke(context.Context, store.LeaseID) error    { return nil }
