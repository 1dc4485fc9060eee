package cli

import (
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/naru-mesh/naru/admin"
)

// TestHearing: a command that does not listen on its port is warned of once,
// after a while, with what to check; then it is said that it does.
func TestHearing(t *testing.T) {
	t.Parallel()
	const within = 10 * time.Second
	parse := func(text string) (list []netip.AddrPort) {
		for _, s := range strings.Fields(text) {
			list = append(list, netip.MustParseAddrPort(s))
		}
		return list
	}
	for _, c := range []struct {
		name  string
		ports []uint16
		// all and own are from the beginning on; then is what there is after 30 s.
		all, own, then string
		want           []string // messages
	}{
		{"at once", []uint16{9002}, "0.0.0.0:9002", "", "", nil},
		{"on all addresses of IPv6", []uint16{9002}, "[::]:9002", "", "", nil},
		{"never", []uint16{9002}, "0.0.0.0:22", "", "", []string{"does not listen on port 9002, so that its service has no instance here: it listens on none"}},
		{"another port", []uint16{9002}, "0.0.0.0:22 127.0.0.1:8080 [::1]:8080 [::]:9090", "127.0.0.1:8080 [::1]:8080 [::]:9090", "", []string{"it listens on 8080, 9090 only; is that the port (--port)"}},
		{"where the proxy does not come", []uint16{9002}, "10.0.0.5:9002", "10.0.0.5:9002", "", []string{"it listens at 10.0.0.5:9002, and its proxy connects to 127.0.0.1"}},
		{"on IPv6's loopback", []uint16{9002}, "[::1]:9002", "[::1]:9002", "", []string{"it listens at [::1]:9002"}},
		{"one of two", []uint16{9002, 9003}, "0.0.0.0:9002", "0.0.0.0:9002", "", []string{"does not listen on port 9003", "it listens on 9002 only"}},
		{"two", []uint16{9002, 9003}, "", "", "", []string{"does not listen on ports 9002, 9003"}},
		{"late", []uint16{9002}, "", "", "127.0.0.1:9002", []string{"does not listen on port 9002", "the command listens now"}},
		{"no port", nil, "", "", "", nil},
	} {
		var said strings.Builder
		now := time.Unix(1000, 0)
		h := &hearing{within: within, now: func() time.Time { return now }, log: slog.New(slog.NewTextHandler(&said, nil))}
		for _, p := range c.ports {
			h.ports = append(h.ports, admin.WishPort{Port: p})
		}
		began, looks := now, 0
		h.where = func(own bool) ([]netip.AddrPort, error) {
			switch looks++; {
			case c.then != "" && now.Sub(began) >= 30*time.Second:
				return parse(c.then), nil
			case own:
				return parse(c.own), nil
			}
			return parse(c.all), nil
		}
		wait := h.begin()
		for now.Sub(began) < time.Minute && wait > 0 {
			if now = now.Add(wait); now.Sub(began) < within && said.Len() > 0 {
				t.Errorf("%s: warned after %v", c.name, now.Sub(began))
			}
			wait = h.look()
		}
		lines := strings.Count(said.String(), "\n")
		if (len(c.want) == 0) != (lines == 0) || strings.Count(said.String(), "does not listen") > 1 || looks > 100 {
			t.Errorf("%s: %d looks, and %s", c.name, looks, said.String())
		}
		for _, want := range c.want {
			if !strings.Contains(said.String(), want) {
				t.Errorf("%s: %s is not said, but %s", c.name, want, said.String())
			}
		}
	}
	gone := &hearing{ports: []admin.WishPort{{Port: 1}}, within: within, now: time.Now, where: func(bool) ([]netip.AddrPort, error) { return nil, errors.New("it has ended") }}
	if gone.begin() == 0 || gone.look() != 0 {
		t.Error("one that has ended is looked at again")
	}
}
