package agent

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/naru-mesh/naru/identity"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
)

type counts struct {
	renewed, failed, bundleFailed, refused, unwritten atomic.Uint64
}

// Register adds the metrics of the agent.
func (a *Agent) Register(g *observe.Registry) {
	count := func(name, help string, n *atomic.Uint64) {
		g.Func(name, help, observe.KindCounter, nil, func(emit func(float64, ...string)) { emit(float64(n.Load())) })
	}
	count("naru_identity_renewals_total", "SVIDs that the authority signed for workloads of this machine, first ones and renewals.", &a.counts.renewed)
	count("naru_identity_renewal_failures_total", "Times that the authority was asked for an SVID in vain; the old one serves until it expires.", &a.counts.failed)
	count("naru_identity_bundle_failures_total", "Times that the authority was asked for its bundles in vain; the old ones serve.", &a.counts.bundleFailed)
	count("naru_identity_refused_total", "SVIDs of others that were refused: expired, forged, or of a trust domain that is not believed.", &a.counts.refused)
	count("naru_identity_unwritten_total", "SVIDs and bundles that could not be written to the disk; they serve, but not after a restart.", &a.counts.unwritten)
	g.Func("naru_identity_held", "Identities that are held for workloads of this machine, with an SVID (ready) and without (waiting).", observe.KindGauge,
		[]string{"state"}, func(emit func(float64, ...string)) {
			ready, waiting := 0, 0
			for _, h := range a.Held() {
				if h.NotAfter.IsZero() {
					waiting++
				} else {
					ready++
				}
			}
			emit(float64(ready), "ready")
			emit(float64(waiting), "waiting")
		})
	g.Func("naru_identity_expiry_seconds", "Time until the first of the SVIDs that are held expires, in seconds.", observe.KindGauge,
		nil, func(emit func(float64, ...string)) {
			first := time.Time{}
			for _, h := range a.Held() {
				if !h.NotAfter.IsZero() && (first.IsZero() || h.NotAfter.Before(first)) {
					first = h.NotAfter
				}
			}
			if !first.IsZero() {
				emit(time.Until(first).Seconds())
			}
		})
}

// Held is an identity that is held.
type Held struct {
	ID       identity.ID `json:"id"`
	Serial   string      `json:"serial,omitempty"`
	NotAfter time.Time   `json:"notAfter,omitzero"` // zero: there is no SVID
	Trouble  string      `json:"trouble,omitempty"` // why there is no newer one
}

// Held are all identities that are held, sorted.
func (a *Agent) Held() (all []Held) {
	a.held.Range(func(_, v any) bool {
		k := v.(*keeper)
		h := Held{ID: k.id}
		if s := a.newest(string(k.id)); s != nil {
			h.NotAfter, h.Serial = s.until(), s.svid.Chain[0].SerialNumber.Text(16)
		}
		if err := k.trouble.Load(); err != nil {
			h.Trouble = (*err).Error()
		}
		all = append(all, h)
		return true
	})
	slices.SortFunc(all, func(x, y Held) int { return strings.Compare(string(x.ID), string(y.ID)) })
	return all
}

// Problems are the identities that have no SVID, or whose is not renewed.
func (a *Agent) Problems() (all []model.Problem) {
	for _, h := range a.Held() {
		switch {
		case h.Trouble == "":
		case h.NotAfter.IsZero():
			all = append(all, model.Problem{Severity: model.Broken, Code: "no-identity",
				Message: fmt.Sprintf("%s has no certificate: %s", h.ID, h.Trouble)})
		default:
			all = append(all, model.Problem{Severity: model.Doubtful, Code: "identity-not-renewed",
				Message: fmt.Sprintf("the certificate of %s expires at %s and is not renewed: %s", h.ID, h.NotAfter.UTC().Format(time.RFC3339), h.Trouble)})
		}
	}
	return all
}
