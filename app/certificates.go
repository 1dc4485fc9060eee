package app

import (
	"cmp"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/naru-mesh/naru/identity"
	"github.com/naru-mesh/naru/identity/acme"
	"github.com/naru-mesh/naru/identity/local"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
)

// newIssuers makes those who give certificates by themselves. They touch
// nothing until somebody wants something of them.
func (g *gateway) newIssuers() map[model.IssuedBy]identity.Issuer {
	data, err := dataFolder()
	at := func(name string) string {
		if err != nil {
			return "" // a Problem where it is needed
		}
		return filepath.Join(data, name)
	}
	return map[model.IssuedBy]identity.Issuer{
		model.ACME:  acme.New(acme.Options{Folder: at("acme"), Log: g.log}),
		model.Local: local.New(local.Options{Folder: at("local"), Log: g.log}),
	}
}

// dataFolder is where this user's programs keep what they must not lose:
// systemd's StateDirectory for services, otherwise that of the XDG Base
// Directory Specification.
func dataFolder() (string, error) {
	state, _, _ := strings.Cut(os.Getenv("STATE_DIRECTORY"), ":") // systemd lists several
	base := os.Getenv("XDG_DATA_HOME")
	if home, err := os.UserHomeDir(); err == nil {
		base = cmp.Or(base, filepath.Join(home, ".local", "share"))
	}
	switch {
	case filepath.IsAbs(state):
		return state, nil
	case filepath.IsAbs(base):
		return filepath.Join(base, "naru"), nil
	}
	return "", errors.New("neither STATE_DIRECTORY, XDG_DATA_HOME nor HOME is set")
}

// certify tells the issuers what s wants of them.
func (g *gateway) certify(s *model.Snapshot) {
	var wrong []model.Problem
	for _, by := range []model.IssuedBy{model.ACME, model.Local} {
		wants, problems := identity.Wants(&s.Config, by)
		g.issuers[by].Follow(wants)
		wrong = append(wrong, problems...)
	}
	g.mu.Lock()
	before := g.unwanted
	g.unwanted = wrong
	g.mu.Unlock()
	for _, p := range wrong {
		if !slices.Contains(before, p) {
			g.log.Warn(p.String(), "code", p.Code)
		}
	}
}

// uncertified is what is wrong with certificates that naru gets by itself: with
// what is wanted, and with getting it.
func (g *gateway) uncertified() (all []model.Problem) {
	g.mu.Lock()
	all = slices.Clone(g.unwanted)
	g.mu.Unlock()
	for _, by := range []model.IssuedBy{model.ACME, model.Local} {
		all = append(all, g.issuers[by].Problems()...)
	}
	return all
}

// maxShown bounds the certificates in /status and in metrics: strangers choose
// the names on demand.
const maxShown = 1000

func (g *gateway) measureCertificates() {
	count := func(name, help string, value func(identity.Counts) uint64) {
		g.registry.Func(name, help, observe.KindCounter, []string{"by"}, func(emit func(float64, ...string)) {
			for by, from := range g.issuers {
				emit(float64(value(from.Counts())), string(by))
			}
		})
	}
	count("naru_certificates_issued_total", "Certificates that naru got by itself for names that had none.", func(c identity.Counts) uint64 { return c.Issued })
	count("naru_certificates_renewed_total", "Certificates that naru renewed.", func(c identity.Counts) uint64 { return c.Renewed })
	count("naru_certificates_failed_total", "Certificates that naru asked for in vain.", func(c identity.Counts) uint64 { return c.Failed })
	count("naru_certificate_challenges_total", "Proofs that certificate authorities were given.", func(c identity.Counts) uint64 { return c.Challenges })
	g.registry.Func("naru_certificate_expiry_timestamp_seconds", "When a certificate that naru got by itself expires, in seconds since 1970; for 1000 names at most.", observe.KindGauge, []string{"name", "by"},
		func(emit func(float64, ...string)) {
			for by, from := range g.issuers {
				for _, h := range from.Holdings(maxShown) {
					emit(float64(h.NotAfter.Unix()), h.Name, string(by))
				}
			}
		})
}

// Stored is what naru certs shows: the roots for developing.
type Stored struct {
	Folder string       `json:"folder"`
	Roots  []local.Root `json:"roots"`
}

// Certificates lists the roots of this user's local authority.
func Certificates() (*Stored, error) {
	data, err := dataFolder()
	if err != nil {
		return nil, err
	}
	s := &Stored{Folder: filepath.Join(data, "local")}
	if s.Roots, err = local.Roots(s.Folder); err != nil {
		return nil, err
	}
	slices.SortFunc(s.Roots, func(a, b local.Root) int { return cmp.Compare(a.File, b.File) })
	return s, nil
}
