package cli

import (
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/naru-mesh/naru/admin"
)

// How often it is looked whether a command listens: often at first, because
// most do soon.
const (
	firstLook = 50 * time.Millisecond
	lastLook  = time.Second
)

// hearing watches whether a command listens on the ports that were declared for
// it. Nothing else would say that it does not: the workload is there, and no
// request ever comes to it.
type hearing struct {
	ports  []admin.WishPort
	within time.Duration // from its start on, before it is warned; 0: it is not looked at
	// where gives what is listened on in the command's network; own: by it alone.
	where func(own bool) ([]netip.AddrPort, error)
	now   func() time.Time
	log   *slog.Logger

	began  time.Time
	every  time.Duration
	warned bool
}

// begin gives after how long to look first; 0: never.
func (h *hearing) begin() time.Duration {
	if len(h.ports) == 0 || h.within <= 0 {
		return 0
	}
	h.began, h.every = h.now(), firstLook
	return min(h.every, h.within)
}

// look looks, and gives after how long to look again; 0: it is over.
func (h *hearing) look() time.Duration {
	all, err := h.where(false)
	if err != nil {
		return 0 // the command has ended, or its network cannot be seen
	}
	after := h.now().Sub(h.began)
	missing := silentOn(h.ports, all)
	switch {
	case len(missing) == 0 && h.warned:
		h.log.Warn("the command listens now: its service has it as an instance", "ports", portList(h.ports), "after", after.Round(time.Millisecond))
		return 0
	case len(missing) == 0:
		return 0
	case after >= h.within && !h.warned:
		h.warned = true
		own, err := h.where(true)
		if err != nil {
			return 0
		}
		h.log.Warn(silence(missing, own), "after", after.Round(time.Millisecond))
	}
	h.every = min(2*h.every, lastLook)
	if !h.warned {
		return min(h.every, h.within-after)
	}
	return h.every
}

// reached says whether who connects to a port of 127.0.0.1, as the proxy does,
// comes to a socket. One of [::] takes IPv4, too, unless it was told not to,
// which is not shown.
func reached(at netip.AddrPort) bool {
	return at.Addr().IsUnspecified() || at.Addr() == netip.AddrFrom4([4]byte{127, 0, 0, 1})
}

// silentOn are the ports on which nobody listens where the proxy connects.
func silentOn(ports []admin.WishPort, all []netip.AddrPort) (missing []admin.WishPort) {
	for _, p := range ports {
		if !slices.ContainsFunc(all, func(at netip.AddrPort) bool { return at.Port() == p.Port && reached(at) }) {
			missing = append(missing, p)
		}
	}
	return missing
}

// silence says what is wrong, and what to check: own is where the command
// listens.
func silence(missing []admin.WishPort, own []netip.AddrPort) string {
	what := "the command does not listen on port " + portList(missing)
	if len(missing) > 1 {
		what = "the command does not listen on ports " + portList(missing)
	}
	what += ", so that its service has no instance here: "
	for _, p := range missing {
		if i := slices.IndexFunc(own, func(at netip.AddrPort) bool { return at.Port() == p.Port }); i >= 0 {
			return what + fmt.Sprintf("it listens at %s, and its proxy connects to 127.0.0.1: have it listen on 127.0.0.1 or on all addresses (0.0.0.0)", own[i])
		}
	}
	var others []string
	for _, at := range own {
		if n := strconv.Itoa(int(at.Port())); !slices.Contains(others, n) {
			others = append(others, n)
		}
	}
	slices.Sort(others)
	switch {
	case len(others) > 0:
		return what + "it listens on " + strings.Join(others, ", ") + " only; is that the port (--port), or is it to be told another?"
	default:
		return what + "it listens on none; is it up yet, what does it say, and on which port is it told to listen?"
	}
}

func portList(ports []admin.WishPort) string {
	var list []string
	for _, p := range ports {
		list = append(list, strconv.Itoa(int(p.Port)))
	}
	return strings.Join(list, ", ")
}
