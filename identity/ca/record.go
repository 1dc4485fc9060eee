package ca

import (
	"bytes"
	"slices"
	"time"

	"github.com/naru-mesh/naru/identity"
)

// stage of a root.
type stage string

const (
	prepared stage = "prepared" // in the bundle, signs nothing yet
	active   stage = "active"   // signs
	retiring stage = "retiring" // signs nothing any more, in the bundle until Until
)

// record is what all replicas share. Its methods decide; they touch nothing
// else, and the time is an argument.
type record struct {
	TrustDomain string `json:"trustDomain"`
	// Sequence is that of the bundle: it grows when roots or keys come or go.
	Sequence uint64     `json:"sequence"`
	Roots    []root     `json:"roots"`
	Keys     []tokenKey `json:"keys"`
	// Published is the Sequence from which on the prepared roots are in the
	// bundle, 0 where none is. Deadline is when they sign even if nobody has
	// said that the bundle arrived.
	Published uint64    `json:"published,omitempty"`
	Deadline  time.Time `json:"deadline,omitzero"`
	// Forgotten are certificates that are refused, as long as there can be any.
	Forgotten []identity.Forgotten `json:"forgotten,omitempty"`
}

type root struct {
	Cert  []byte    `json:"cert"`          // DER
	Key   []byte    `json:"key,omitempty"` // PKCS #8, sealed; none of a given root
	Stage stage     `json:"stage"`
	Since time.Time `json:"since"`
	Until time.Time `json:"until,omitzero"` // retiring: when nobody needs it
}

func (r *root) given() bool { return len(r.Key) == 0 }

// tokenKey signs JWT-SVIDs. The newest whose Active has come does.
type tokenKey struct {
	ID        string    `json:"id"`
	Public    []byte    `json:"public"` // PKIX
	Key       []byte    `json:"key"`    // PKCS #8, sealed
	Published time.Time `json:"published"`
	Active    time.Time `json:"active"`
}

// pace are the bounds that steps go by.
type pace struct {
	publish time.Duration // of a prepared root without acknowledgement
	retire  time.Duration // how long certificates below a retired root may live on
}

func (r *record) find(cert []byte) *root {
	for i := range r.Roots {
		if bytes.Equal(r.Roots[i].Cert, cert) {
			return &r.Roots[i]
		}
	}
	return nil
}

// prepare publishes a root.
func (r *record) prepare(n root, now time.Time, p pace) {
	n.Stage, n.Since, n.Until = prepared, now, time.Time{}
	r.Roots = append(r.Roots, n)
	r.Sequence++
	r.Published, r.Deadline = r.Sequence, now.Add(p.publish)
}

// activate lets the prepared roots sign, and retires those that did.
func (r *record) activate(now time.Time, p pace) {
	for i := range r.Roots {
		switch x := &r.Roots[i]; x.Stage {
		case prepared:
			x.Stage, x.Since = active, now
		case active:
			r.retire(x, now, p)
		}
	}
	r.Published, r.Deadline = 0, time.Time{}
}

func (r *record) retire(x *root, now time.Time, p pace) {
	x.Stage, x.Since, x.Until = retiring, now, now.Add(p.retire)
}

// acknowledge is told that everybody has a bundle.
func (r *record) acknowledge(sequence uint64, now time.Time, p pace) (changed bool) {
	if r.Published == 0 || sequence < r.Published {
		return false
	}
	r.activate(now, p)
	return true
}

// step does what the time asks for.
func (r *record) step(now time.Time, p pace) (changed bool) {
	if r.Published != 0 && !now.Before(r.Deadline) {
		r.activate(now, p)
		changed = true
	}
	n := len(r.Roots)
	r.Roots = slices.DeleteFunc(r.Roots, func(x root) bool { return x.Stage == retiring && !now.Before(x.Until) })
	m := len(r.Keys)
	if i := r.signing(now); i > 0 && !now.Before(r.Keys[i].Active.Add(keyRetire)) {
		r.Keys = slices.Delete(r.Keys, 0, i)
	}
	if len(r.Roots) != n || len(r.Keys) != m {
		r.Sequence++
		changed = true
	}
	return changed
}

// signing is the index of the key that signs tokens, -1 where none does.
func (r *record) signing(now time.Time) int {
	for i := len(r.Keys) - 1; i >= 0; i-- {
		if !now.Before(r.Keys[i].Active) {
			return i
		}
	}
	return -1
}

// wantsKey says whether it is time for another key for tokens.
func (r *record) wantsKey(now time.Time) bool {
	return len(r.Keys) == 0 || !now.Before(r.Keys[len(r.Keys)-1].Published.Add(keyLife))
}

// addKey publishes a key, which signs only when it has got around. The first
// signs at once.
func (r *record) addKey(k tokenKey, now time.Time) {
	k.Published, k.Active = now, now
	if len(r.Keys) > 0 {
		k.Active = now.Add(keyAhead)
	}
	r.Keys = append(r.Keys, k)
	r.Sequence++
}

// give makes certs the roots of the given authority. What it had before
// retires; beside a root of our own they are published first.
func (r *record) give(certs [][]byte, now time.Time, p pace) (changed bool) {
	ours := slices.ContainsFunc(r.Roots, func(x root) bool { return x.Stage != retiring && !x.given() })
	for i := range r.Roots {
		x := &r.Roots[i]
		if x.given() && x.Stage != retiring && !slices.ContainsFunc(certs, func(c []byte) bool { return bytes.Equal(c, x.Cert) }) {
			r.retire(x, now, p)
			changed = true
		}
	}
	for _, cert := range certs {
		switch x := r.find(cert); {
		case x == nil && ours:
			r.prepare(root{Cert: cert}, now, p)
		case x == nil:
			r.Roots = append(r.Roots, root{Cert: cert, Stage: active, Since: now})
			r.Sequence++
		case x.Stage == retiring && !ours:
			x.Stage, x.Since, x.Until = active, now, time.Time{}
		default:
			continue
		}
		changed = true
	}
	return changed
}
