package agent

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/naru-mesh/naru/identity"
)

// mutual is one side of a connection between workloads.
func mutual(a *Agent, own, peer identity.ID) *tls.Config {
	get := func() (*tls.Certificate, error) {
		if c := a.Certificate(string(own)); c != nil {
			return c, nil
		}
		return nil, fmt.Errorf("there is no SVID of %s", own)
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13, ClientAuth: tls.RequireAnyClientCert, SessionTicketsDisabled: true,
		InsecureSkipVerify:   true, // VerifyConnection does
		GetCertificate:       func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return get() },
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return get() },
		VerifyConnection: func(s tls.ConnectionState) error {
			id, err := a.Verify(s.PeerCertificates)
			if err == nil && id != string(peer) {
				err = fmt.Errorf("the peer is %s, not %s", id, peer)
			}
			return err
		},
	}
}

// shake makes one handshake, with a byte each way.
func shake(server, client *tls.Config) error {
	x, y := net.Pipe()
	s, c := tls.Server(x, server), tls.Client(y, client)
	failed := make(chan error, 1)
	go func() {
		var b [1]byte
		_, err := s.Read(b[:])
		if err == nil {
			_, err = s.Write(b[:])
		}
		_ = x.Close()
		failed <- err
	}()
	var b [1]byte
	_, err := c.Write([]byte{1})
	if err == nil {
		_, err = c.Read(b[:])
	}
	_ = y.Close()
	if other := <-failed; other != nil {
		return other
	}
	return err
}

// TestRotations renews a thousand times, and rotates the root several times,
// while workloads shake hands all the time.
func TestRotations(t *testing.T) {
	t.Parallel()
	root := authority(t)
	// Two machines.
	one, two := open(t, Options{Authority: root}), open(t, Options{Authority: root})
	one.Hold(orders)
	two.Hold(payments)
	wait(t, one, orders)
	wait(t, two, payments)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var shakes atomic.Int64
	var hands sync.WaitGroup
	for range 2 {
		hands.Go(func() {
			for ctx.Err() == nil {
				if err := shake(mutual(two, payments, orders), mutual(one, orders, payments)); err != nil {
					t.Error(err)
					return
				}
				shakes.Add(1)
			}
		})
	}
	rotations, roots := 0, map[string]bool{}
	renew := func(a *Agent, id identity.ID) {
		k, _ := a.held.Load(string(id))
		h, err := k.(*keeper).renew()
		if err != nil {
			t.Error(err)
			return
		}
		roots[h.svid.Chain[1].Issuer.String()] = true
		rotations++
	}
	for i := range 500 {
		renew(one, orders)
		renew(two, payments)
		if i%100 == 50 {
			if err := root.Rotate(ctx); err != nil {
				t.Fatal(err)
			}
			// All have the bundle before it is said that they have.
			published := root.Status().Published
			for _, a := range []*Agent{one, two} {
				for changed := a.Changed(); a.Bundles().Own.Sequence < published; changed = a.Changed() {
					<-changed
				}
			}
			if err := root.Acknowledged(ctx, published); err != nil {
				t.Fatal(err)
			}
		}
		if t.Failed() {
			break
		}
	}
	cancel()
	hands.Wait()
	if rotations != 1000 || len(roots) != 6 || shakes.Load() < 50 {
		t.Errorf("%d rotations below %d roots, %d handshakes", rotations, len(roots), shakes.Load())
	}
	t.Logf("%d rotations below %d roots during %d handshakes, none of which failed", rotations, len(roots), shakes.Load())
}
