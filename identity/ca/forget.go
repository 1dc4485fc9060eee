package ca

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/naru-mesh/naru/identity"
)

// mostForgotten bounds the list, which every proxy has.
const mostForgotten = 1000

// Forget has all who judge certificates refuse those that f names, in this and in
// all replicas. Of one machine or identity the newest word counts.
func (a *Authority) Forget(ctx context.Context, f identity.Forgotten) error {
	return a.change(ctx, func(r *record, now time.Time) (bool, error) { return r.forget(f, now, a.pace) })
}

// forget adds to the list, which is replaced and not written to: bundles share
// it.
func (r *record) forget(f identity.Forgotten, now time.Time, p pace) (bool, error) {
	r.remember(now, p)
	list := slices.DeleteFunc(slices.Clone(r.Forgotten), func(o identity.Forgotten) bool { return o.Machine == f.Machine && o.ID == f.ID })
	if len(list) >= mostForgotten {
		return false, fmt.Errorf("%d machines and identities are forgotten whose certificates have not ended yet, which is the most: rotate the root instead", len(list))
	}
	f.Issued, f.From = f.Issued.UTC().Round(0), f.From.UTC().Round(0)
	r.Forgotten = append(list, f)
	return true, nil
}

// remember drops those of which no certificate can be left.
func (r *record) remember(now time.Time, p pace) (changed bool) {
	old := func(f identity.Forgotten) bool { return now.After(f.Issued.Add(p.retire)) }
	if !slices.ContainsFunc(r.Forgotten, old) {
		return false
	}
	r.Forgotten = slices.DeleteFunc(slices.Clone(r.Forgotten), old)
	return true
}
