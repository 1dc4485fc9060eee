package proxy

import (
	"testing"

	"github.com/naru-mesh/naru/model"
)

// TestClientsAreAskedOtherwise: what was open before clients were asked is
// another port's, and nothing is served as if nobody asked.
func TestClientsAreAskedOtherwise(t *testing.T) {
	t.Parallel()
	with := func(cert string, a *model.ClientAuth) *model.Config {
		c := doors("https:1000:" + cert)
		c.Listeners[0].Name, c.Routes[0].Parents = "l", []string{"l"}
		c.Listeners[0].ClientAuth = a
		return c
	}
	w := newWorld(t, 1)
	slot := func() int { return w.proxy.ports[len(w.proxy.ports)-1].slot }
	w.apply(with("good", nil))
	socket, was := w.driver.on(1000), slot()
	w.fails(with("bad", &model.ClientAuth{CAFile: "a"}), "bad is not usable")
	for _, a := range []*model.ClientAuth{{CAFile: "a"}, {CAFile: "a", Optional: true}, nil} {
		w.apply(with("good", a))
		if slot() == was || w.driver.on(1000) != socket {
			t.Errorf("%+v: the same port %v, the same socket %v", a, slot() == was, w.driver.on(1000) == socket)
		}
		was = slot()
	}
	// Other authorities take nothing away from those who were asked.
	w.apply(with("good", &model.ClientAuth{CAFile: "a"}))
	was = slot()
	w.apply(with("good", &model.ClientAuth{CAFile: "b"}))
	if slot() != was {
		t.Error("other authorities make another port")
	}

	// Two ways of asking at one address are one too many.
	two := with("good", &model.ClientAuth{CAFile: "a", Optional: true})
	second := *two.Listeners[0]
	second.Name, second.Hostname, second.ClientAuth = "m", "m.test", &model.ClientAuth{CAFile: "a"}
	two.Listeners = append(two.Listeners, &second)
	w.fails(two, "ask clients for other certificates")
}
