package link

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// ensureIdentity joins by server where the node has no identity that is valid.
func (c *Client) ensureIdentity(ctx context.Context, server string) error {
	c.mu.Lock()
	own := c.own
	c.mu.Unlock()
	if own != nil && c.options.Now().Before(own.certificate.Leaf.NotAfter) {
		return nil
	}
	root, secret := c.options.Root, []byte(nil)
	switch {
	case c.joins != nil:
		root, secret = c.joins.Root, c.joins.Secret[:]
	case c.options.Credential == nil && own != nil:
		return fmt.Errorf("%w: the node's certificate ended at %s; join again with a new token", ErrRefused, own.certificate.Leaf.NotAfter.Format(time.RFC3339))
	case c.options.Credential == nil:
		return fmt.Errorf("%w: this node has not joined, and has no token", ErrRefused)
	}
	var other atomic.Pointer[[sha256.Size]byte]
	conn, err := dial(server, pinnedTLS(c.options.TrustDomain, root, c.options.Credential, c.options.Now, func(its [sha256.Size]byte) { other.Store(&its) }))
	if err != nil {
		return err
	}
	defer conn.Close()
	// One key for all tries: if the answer is lost, the token is good for this
	// key still.
	if c.joinKey == nil {
		if c.joinKey, c.joinCSR, err = newKey(); err != nil {
			return err
		}
	}
	key, csr := c.joinKey, c.joinCSR
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var a joinResponse
	err = conn.Invoke(ctx, "/"+serviceName+"/Join", &joinRequest{Node: c.options.Node, Token: secret, CSR: csr}, &a)
	if its := other.Load(); err != nil && its != nil {
		return c.otherRoot(server, root, *its)
	}
	switch status.Code(err) {
	case codes.OK:
	case codes.PermissionDenied, codes.InvalidArgument, codes.Unauthenticated:
		return fmt.Errorf("%w: join: %s", ErrRefused, status.Convert(err).Message())
	default:
		return fmt.Errorf("join: %s", status.Convert(err).Message())
	}
	if a.TrustDomain != c.options.TrustDomain || a.Bundles == nil {
		return fmt.Errorf("%w: the control plane is of trust domain %q, not %q", ErrRefused, a.TrustDomain, c.options.TrustDomain)
	}
	if err := c.setBundles(a.Bundles); err != nil {
		return err
	}
	return c.setOwn(key, a.Chain)
}

// errOtherRoot is what a handshake ends with.
var errOtherRoot = errors.New("the server's root is not the one that was named: this is another control plane, or somebody in between")

// otherRoot says so of a server, and what to check. its is the root that it has
// shown, zero where it has shown none.
func (c *Client) otherRoot(server string, want, its [sha256.Size]byte) error {
	named, again := "the token", "make a token on that control plane (naru token create), or name the one that has made this token (--control)"
	if c.joins == nil {
		named, again = "--root-hash", "see there what naru status shows as root hash, or name the right one (--control)"
	}
	shown := "it shows no root"
	if its != [sha256.Size]byte{} {
		shown = fmt.Sprintf("its root is %x...", its[:8])
	}
	return fmt.Errorf("%w: %s is another control plane, or somebody is in between: %s names the root %x..., and %s; %s", ErrOtherRoot, server, named, want[:8], shown, again)
}

// strange notes whether a server has shown another root than the one that was
// named, and says whether all have, and nothing else can come of trying again:
// a node that has never joined has nothing to go on with.
func (c *Client) strange(servers map[string]bool, server string, err error) bool {
	if !errors.Is(err, ErrOtherRoot) {
		delete(servers, server) // away for now, or one of those that may be joined
		return false
	}
	servers[server] = true
	c.mu.Lock()
	joined := c.own != nil
	c.mu.Unlock()
	return !joined && !slices.ContainsFunc(c.options.Servers, func(s string) bool { return !servers[s] })
}

// setOwn takes a certificate that was signed for the node, if it is one.
func (c *Client) setOwn(key crypto.Signer, chain [][]byte) error {
	leaf, rest, err := parseChain(chain)
	if err != nil {
		return fmt.Errorf("the node's certificate: %w", err)
	}
	if id, err := idOf(leaf); err != nil || id != NodeID(c.options.TrustDomain, c.options.Node) {
		return fmt.Errorf("the node's certificate is for %s: %w", id, errors.Join(err, errMalformed))
	}
	if mine, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool }); !ok || !mine.Equal(leaf.PublicKey) {
		return fmt.Errorf("the node's certificate is for another key: %w", errMalformed)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: c.roots(), Intermediates: rest, CurrentTime: c.options.Now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		return fmt.Errorf("the node's certificate: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	c.update(func() {
		c.own = &ownIdentity{tls.Certificate{Certificate: chain, PrivateKey: key, Leaf: leaf}, der}
	})
	c.saveNode()
	return nil
}

// renewer renews the node's certificate at half its life, 10% more or less, and
// then as often as it takes. With a new one the stream begins anew: the server
// ends those whose certificate has expired.
func (c *Client) renewer(ctx context.Context) {
	retry := time.Second
	for {
		var leaf *x509.Certificate
		if c.await(ctx, func() bool {
			if c.own != nil && c.conn != nil {
				leaf = c.own.certificate.Leaf
			}
			return leaf != nil
		}) != nil {
			return
		}
		life := leaf.NotAfter.Sub(leaf.NotBefore)
		at := leaf.NotBefore.Add(time.Duration(float64(life) * (0.45 + 0.1*rand.Float64())))
		if !pause(ctx, at.Sub(c.options.Now())) {
			return
		}
		err := c.renewOwn(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			retry = time.Second
			continue
		}
		c.log.Warn("link: renew the node's certificate", "ends", leaf.NotAfter, "err", err)
		if !pause(ctx, retry+time.Duration(rand.Int64N(int64(retry)))) {
			return
		}
		retry = min(2*retry, time.Minute)
	}
}

func (c *Client) renewOwn(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	key, csr, err := newKey()
	if err != nil {
		return err
	}
	chain, err := c.SignX509(ctx, NodeID(c.options.TrustDomain, c.options.Node), csr, nodeLife)
	if err != nil {
		return err
	}
	if err := c.setOwn(key, chain); err != nil {
		return err
	}
	c.mu.Lock()
	f := c.stream
	c.mu.Unlock()
	if f != nil {
		f.end(errRenewed)
	}
	return nil
}
