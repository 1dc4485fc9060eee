package ca

import (
	"crypto/x509"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/naru-mesh/naru/identity"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
)

// refusal is why something was not signed.
type refusal int

const (
	badIdentity refusal = iota
	foreignDomain
	badRequest
	badAudience
	notReady
	refusals // how many there are
)

func (r refusal) String() string {
	return [refusals]string{"bad_identity", "foreign_trust_domain", "bad_request", "bad_audience", "not_ready"}[r]
}

type counts struct {
	certificates, tokens atomic.Uint64
	refused              [refusals]atomic.Uint64
}

// Register adds the metrics of the authority.
func (a *Authority) Register(g *observe.Registry) {
	g.Func("naru_authority_issued_total", "Identities that the authority signed, certificates (x509) and tokens (jwt).", observe.KindCounter,
		[]string{"kind"}, func(emit func(float64, ...string)) {
			emit(float64(a.counts.certificates.Load()), "x509")
			emit(float64(a.counts.tokens.Load()), "jwt")
		})
	g.Func("naru_authority_refused_total", "Requests that the authority did not sign, by reason.", observe.KindCounter,
		[]string{"reason"}, func(emit func(float64, ...string)) {
			for r := range refusals {
				emit(float64(a.counts.refused[r].Load()), r.String())
			}
		})
	g.Func("naru_authority_expiry_days", "Days until a certificate of the authority expires: the root and the intermediate with which it signs.", observe.KindGauge,
		[]string{"certificate"}, func(emit func(float64, ...string)) {
			if s := a.view.Load().signer; s != nil {
				if end, err := endOf(s.root); err == nil {
					emit(end.Sub(a.opt.Now()).Hours()/24, "root")
				}
				emit(s.until.Sub(a.opt.Now()).Hours()/24, "intermediate")
			}
		})
	g.Func("naru_authority_roots", "Roots in the bundle by stage: prepared, active, retiring.", observe.KindGauge,
		[]string{"stage"}, func(emit func(float64, ...string)) {
			n := map[stage]int{}
			for _, r := range a.view.Load().record.Roots {
				n[r.Stage]++
			}
			for _, s := range []stage{prepared, active, retiring} {
				emit(float64(n[s]), string(s))
			}
		})
	g.Func("naru_authority_bundle_sequence", "The sequence of the bundle; it grows with each change of roots and keys.", observe.KindGauge,
		nil, func(emit func(float64, ...string)) { emit(float64(a.view.Load().record.Sequence)) })
}

func endOf(der []byte) (time.Time, error) {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return time.Time{}, err
	}
	return cert.NotAfter, nil
}

// ownEnd is when the active root of our own expires.
func ownEnd(r *record) (time.Time, bool) {
	for i := range r.Roots {
		if x := &r.Roots[i]; x.Stage == active && !x.given() {
			end, err := endOf(x.Cert)
			return end, err == nil
		}
	}
	return time.Time{}, false
}

// Root is a root in the bundle.
type Root struct {
	Subject  string    `json:"subject"`
	Stage    string    `json:"stage"` // prepared, active, retiring
	Given    bool      `json:"given,omitempty"`
	NotAfter time.Time `json:"notAfter"`
	Since    time.Time `json:"since"`          // of the stage
	Until    time.Time `json:"until,omitzero"` // retiring: when it leaves the bundle
}

// Status is the state of the authority, for people.
type Status struct {
	TrustDomain string `json:"trustDomain"`
	Sequence    uint64 `json:"sequence"`
	Roots       []Root `json:"roots"`
	// Published is the sequence that all must have before the prepared root
	// signs, 0 where there is none; Deadline is when it does so anyway.
	Published uint64    `json:"published,omitempty"`
	Deadline  time.Time `json:"deadline,omitzero"`
	// Intermediate is with what this replica signs.
	Intermediate string    `json:"intermediate,omitempty"`
	Until        time.Time `json:"until,omitzero"`
	// Forgotten are certificates that all refuse.
	Forgotten []identity.Forgotten `json:"forgotten,omitempty"`
}

// Status tells how the authority is.
func (a *Authority) Status() Status {
	v := a.view.Load()
	s := Status{TrustDomain: v.record.TrustDomain, Sequence: v.record.Sequence, Published: v.record.Published, Deadline: v.record.Deadline, Forgotten: v.record.Forgotten}
	for i := range v.record.Roots {
		r := &v.record.Roots[i]
		line := Root{Stage: string(r.Stage), Given: r.given(), Since: r.Since, Until: r.Until}
		if i < len(v.bundles.Own.Roots) {
			line.Subject, line.NotAfter = v.bundles.Own.Roots[i].Subject.String(), v.bundles.Own.Roots[i].NotAfter
		}
		s.Roots = append(s.Roots, line)
	}
	if v.signer != nil {
		s.Intermediate, s.Until = v.signer.cert.Subject.String(), v.signer.until
	}
	return s
}

// Problems are what somebody has to look after.
func (a *Authority) Problems() (all []model.Problem) {
	v, now := a.view.Load(), a.opt.Now()
	tell := func(s model.Severity, code, hint, format string, args ...any) {
		all = append(all, model.Problem{Severity: s, Code: code, Hint: hint,
			Message: "the authority of trust domain " + a.opt.TrustDomain + " " + fmt.Sprintf(format, args...)})
	}
	if v.signer == nil {
		tell(model.Broken, "no-signer", "give it the files, or make a root of naru's own by a rotation", "cannot sign: %v", v.unsigned)
	}
	for _, r := range a.Status().Roots {
		left := r.NotAfter.Sub(now)
		if r.Stage == string(retiring) || left > warnLeft {
			continue
		}
		severity, hint := model.Doubtful, "look for why it is not replaced by itself, in the log"
		if left <= 0 {
			severity = model.Broken
		}
		if r.Given {
			hint = "put a new root beside it in the file of the roots, and sign with that when all have it"
		}
		tell(severity, "root-expires", hint, "has a root, %s, that expires at %s", r.Subject, r.NotAfter.UTC().Format(time.RFC3339))
	}
	if s := v.signer; s != nil && s.due.IsZero() && s.until.Sub(now) < warnLeft {
		tell(model.Doubtful, "intermediate-expires", "replace the files", "signs with %s, which expires at %s", s.cert.Subject, s.until.UTC().Format(time.RFC3339))
	}
	if err := a.trouble.Load(); err != nil {
		tell(model.Doubtful, "store-unavailable", "", "cannot look after its record: %v", *err)
	}
	return all
}
