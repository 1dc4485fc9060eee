package proxy

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/naru-mesh/naru/model"
)

type expired struct{}

func (expired) Error() string { return "the certificate has expired" }
func (expired) Usable() bool  { return true }

// TestProblems: a certificate that goes bad is a Problem until it is good again
// or nobody shows it any more.
func TestProblems(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	if p := w.proxy.Problems(); p != nil {
		t.Errorf("before anything: %v", p)
	}
	config := func(ports ...string) *model.Config {
		c := doors(ports...)
		c.Certificates[0].Origin = model.Origin{Source: "x.yaml", Line: 2}
		return c
	}
	is := func(want string) {
		t.Helper()
		var lines []string
		for _, p := range w.proxy.Problems() {
			lines = append(lines, p.Code+" "+p.String())
		}
		if got := strings.Join(lines, "\n"); got != want {
			t.Errorf("%s\nwant %s", got, want)
		}
	}
	w.apply(config("https:1000:good", "https:2000:good"))
	is("")
	both := w.proxy.opt.Security.(*fakeTLS).made
	for _, s := range both {
		s.cfg.Reloaded("good", errors.New("good.pem: no PEM"))
	}
	is("bad-certificate x.yaml:2: error: good.pem: no PEM (the certificate from before goes on serving)")
	both[0].cfg.Reloaded("good", nil)
	both[1].cfg.Reloaded("good", expired{})
	is("bad-certificate x.yaml:2: warning: the certificate has expired")
	both[1].cfg.Reloaded("good", nil)
	is("")
	both[0].cfg.Reloaded("good", errors.New("gone"))
	w.apply(config("https:2000:good"))
	is("")
	both[1].cfg.Reloaded("good", errors.New("gone"))
	w.apply(config("https:2000:good", "3000")) // reads the files
	is("")
}

func TestUnusableTLSOfServices(t *testing.T) {
	t.Parallel()
	s := model.Freeze(&model.Config{Services: []*model.Service{{Name: "a", Origin: model.Origin{Source: "x.yaml", Line: 7}}}})
	got := unusable(s, errors.Join(fmt.Errorf("service a: %w", errors.New("no CA")), errors.New("something else")))
	if len(got) != 2 || got[0].String() != "x.yaml:7: error: service a: no CA (its requests fail, or go on as before)" || got[1].Message != "something else" {
		t.Errorf("%v", got)
	}
	if got := unusable(s, errors.New("alone")); len(got) != 1 {
		t.Errorf("%v", got)
	}
}
