package agent

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/naru-mesh/naru/identity"
)

// Times between questions to an authority that does not answer.
const (
	firstPause = time.Second
	maxPause   = time.Minute
	// askFor bounds one question.
	askFor = 30 * time.Second
	// leastWait keeps an authority that gives very short lives from being asked
	// without end.
	leastWait = 5 * time.Second
	// checkEvery is how often the clock on the wall is looked at: a timer stands
	// still while a machine is suspended, and certificates do not.
	checkEvery = time.Minute
)

// keeper holds one identity.
type keeper struct {
	id      identity.ID
	agent   *Agent
	ctx     context.Context
	stop    context.CancelFunc
	holders int           // with Agent.mu
	forced  chan struct{} // holds one: renew although it is not due
	current atomic.Pointer[held]
	trouble atomic.Pointer[error]
}

// held is an SVID and what is made of it. It does not change.
type held struct {
	svid  identity.SVID
	shown *tls.Certificate
	got   time.Time
}

func (h *held) until() time.Time { return h.svid.Chain[0].NotAfter }

func newHeld(id identity.ID, chain []*x509.Certificate, key crypto.Signer, got time.Time) *held {
	h := &held{svid: identity.SVID{ID: id, Chain: chain, Key: key}, got: got, shown: &tls.Certificate{PrivateKey: key, Leaf: chain[0]}}
	for _, c := range chain {
		h.shown.Certificate = append(h.shown.Certificate, c.Raw)
	}
	return h
}

// due is when it is renewed: at half of what was left when it came, give or
// take a tenth.
func (h *held) due() time.Time {
	half := h.until().Sub(h.got) / 2
	return h.got.Add(max(jitter(half), leastWait))
}

// jitter gives d, give or take a tenth.
func jitter(d time.Duration) time.Duration {
	return d + time.Duration((rand.Float64()*2-1)*float64(d)/10)
}

// pauses are the times between attempts: twice as long each time, each between
// half and all of that.
type pauses struct{ last time.Duration }

func (p *pauses) next() time.Duration {
	p.last = min(max(2*p.last, firstPause), maxPause)
	return p.last/2 + rand.N(p.last/2)
}

func (k *keeper) run() {
	var p pauses
	var due time.Time // zero: now
	if h := k.current.Load(); h != nil {
		due = h.due()
	}
	if !k.agent.knowsBundles(k.ctx) {
		return
	}
	for {
		retried := k.agent.retried()
		if wait := time.Until(due); wait > 0 {
			select {
			case <-k.forced:
				due = time.Time{}
				continue
			default:
			}
			if !k.sleep(min(wait, checkEvery), retried) {
				return
			}
			continue // Retry wakes those, too, that are not due, and they sleep on
		}
		select {
		case <-k.forced: // this renewal is what it asks for; a failed one is not hurried
		default:
		}
		h, err := k.renew()
		switch {
		case k.ctx.Err() != nil:
			return
		case err == nil:
			p = pauses{}
			due = h.due()
			continue
		}
		k.agent.counts.failed.Add(1)
		k.trouble.Store(&err)
		pause := p.next()
		k.agent.log.Warn("an identity could not be renewed", "identity", string(k.id), "again in", pause.Round(time.Millisecond), "err", err)
		if !k.sleep(pause, retried) {
			return
		}
	}
}

// knowsBundles waits for the first bundles, without which nothing that the
// authority signs could be judged; false where ctx ended.
func (a *Agent) knowsBundles(ctx context.Context) bool {
	for {
		changed := a.Changed()
		if a.judge.Load() != nil {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// sleep waits for d or for Retry; false where the keeper ends.
func (k *keeper) sleep(d time.Duration, retried <-chan struct{}) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-retried:
		return true
	case <-k.forced:
		k.force() // it is for run to take
		return true
	case <-k.ctx.Done():
		return false
	}
}

func (k *keeper) force() {
	select {
	case k.forced <- struct{}{}:
	default:
	}
}

// renew gets another SVID, with another key.
func (k *keeper) renew() (*held, error) {
	a := k.agent
	select {
	case a.asking <- struct{}{}:
		defer func() { <-a.asking }()
	case <-k.ctx.Done():
		return nil, k.ctx.Err()
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
	if err != nil {
		return nil, err
	}
	csr, err := x509.CreateCertificateRequest(crand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(k.ctx, askFor)
	defer cancel()
	ders, err := a.opt.Authority.SignX509(ctx, k.id, csr, a.opt.TTL)
	if err != nil {
		return nil, err
	}
	chain, err := parseChain(ders)
	if err == nil {
		err = a.accept(k.id, chain, key, time.Now())
	}
	if err != nil {
		return nil, fmt.Errorf("what the authority signed is not used: %w", err)
	}
	h := newHeld(k.id, chain, key, time.Now().Round(0)) // on the wall
	a.writeSVID(h)
	a.mu.Lock()
	old := k.current.Swap(h)
	k.trouble.Store(nil)
	a.counts.renewed.Add(1)
	a.announce()
	a.mu.Unlock()
	if old != nil && a.opt.Replaced != nil {
		a.opt.Replaced(k.id)
	}
	return h, nil
}

func parseChain(ders [][]byte) (chain []*x509.Certificate, err error) {
	for _, der := range ders {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		chain = append(chain, c)
	}
	if len(chain) == 0 {
		return nil, errors.New("it is empty")
	}
	return chain, nil
}

// accept says what is wrong with an SVID of ours.
func (a *Agent) accept(id identity.ID, chain []*x509.Certificate, key *ecdsa.PrivateKey, now time.Time) error {
	if public, ok := chain[0].PublicKey.(*ecdsa.PublicKey); !ok || !public.Equal(key.Public()) {
		return errors.New("it is not for our key")
	}
	j := a.judge.Load()
	if j == nil {
		return errNoBundle
	}
	got, err := j.verifier.Verify(chain, now)
	if err != nil {
		return err
	}
	if got != id {
		return fmt.Errorf("it is of %s, not of %s", got, id)
	}
	return nil
}

// followBundles keeps the bundles those of the authority.
func (a *Agent) followBundles() {
	var p pauses
	var known *identity.Bundles // what the authority gave; that of the disk may be old
	for {
		retried := a.retried()
		b, err := a.opt.Authority.Bundles(a.ctx, known)
		if a.ctx.Err() != nil {
			return
		}
		if err == nil && (b == nil || b.Own == nil) {
			err = errors.New("the authority gave no bundle of its own")
		}
		if err == nil {
			p, known = pauses{}, b
			a.setBundles(b)
			continue
		}
		a.counts.bundleFailed.Add(1)
		pause := p.next()
		a.log.Warn("the bundles could not be got; the old ones serve", "again in", pause.Round(time.Millisecond), "err", err)
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-retried:
		case <-a.ctx.Done():
		}
		t.Stop()
	}
}

func (a *Agent) setBundles(b *identity.Bundles) {
	old := a.Bundles()
	if old.Equal(b) {
		return
	}
	a.judge.Store(&judge{bundles: b, verifier: identity.NewVerifier(b)})
	a.writeBundles(b)
	a.mu.Lock()
	a.announce()
	for _, k := range a.keepers {
		if h := k.current.Load(); h != nil && b.Outdated(h.svid.Chain[0], k.id) {
			k.force() // by then others will refuse it
		}
	}
	a.mu.Unlock()
	if a.opt.Forgotten != nil && (len(b.Forgotten) > 0 || lost(old, b)) {
		a.opt.Forgotten(b.Forgotten) // also where they are those of before: it costs a look
	}
}

// lost says whether a trust domain is believed no more.
func lost(before, now *identity.Bundles) bool {
	return before != nil && slices.ContainsFunc(before.Federated, func(o *identity.Bundle) bool {
		return !slices.ContainsFunc(now.Federated, func(b *identity.Bundle) bool { return b.TrustDomain == o.TrustDomain })
	})
}

func sameKey(cert *x509.Certificate, key crypto.Signer) bool {
	x, err1 := x509.MarshalPKIXPublicKey(cert.PublicKey)
	y, err2 := x509.MarshalPKIXPublicKey(key.Public())
	return err1 == nil && err2 == nil && bytes.Equal(x, y)
}
