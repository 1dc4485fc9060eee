package model

import "fmt"

// circle warns of a redirect that leads to where the request was, so that a
// client goes round until it gives up. Only what is certain is said: another
// route may well take what comes back to another host or path.
func (v *checker) circle(r *Route, d *Redirect) {
	for _, parent := range r.Parents {
		l := v.listeners[parent]
		if l == nil || !d.sameScheme(l) || !d.sameHost(r, l) || !d.samePath(r) {
			continue
		}
		port := d.Port
		if port == 0 {
			port = l.Port
			if d.Scheme != "" {
				port = wellKnown(l.Protocol)
			}
		}
		why := ""
		switch {
		case port == l.Port:
			why = fmt.Sprintf("%s on port %d leads to %s on port %d", l.Protocol, l.Port, l.Protocol, port)
		case d.Port == 0 && !v.opens(port):
			// Whoever leads the port of the world to the listener's leads it
			// back here.
			why = fmt.Sprintf("%s leads to %s, and no listener of its own has port %d", l.Protocol, l.Protocol, port)
		default:
			continue
		}
		hint := "redirect to another host, port or path"
		if l.Protocol == HTTPS {
			hint = "let it stand behind listeners without TLS only"
		}
		v.doubtful("redirect-loop", fmt.Sprintf("route %s redirects requests of listener %s to where they were: %s", r.Name, l.Name, why), hint)
	}
}

func (v *checker) opens(port uint16) bool {
	for _, l := range v.listeners {
		if l.Port == port {
			return true
		}
	}
	return false
}

func wellKnown(p Protocol) uint16 {
	if p == HTTPS {
		return 443
	}
	return 80
}

func (d *Redirect) sameScheme(l *Listener) bool {
	return d.Scheme == "" || d.Scheme == string(l.Protocol)
}

// sameHost says whether every request of the route is for the host that it is
// sent to.
func (d *Redirect) sameHost(r *Route, l *Listener) bool {
	if d.Hostname == "" || l.Hostname == d.Hostname {
		return true
	}
	for _, h := range r.Hostnames {
		if h != d.Hostname {
			return false
		}
	}
	return len(r.Hostnames) > 0
}

// samePath says whether the path stays, or is the one that is asked for.
func (d *Redirect) samePath(r *Route) bool {
	if d.Path == nil {
		return true
	}
	for i := range r.Matches {
		if m := &r.Matches[i]; d.Path.Full == nil || m.PathKind != PathExact || m.Path != *d.Path.Full {
			return false
		}
	}
	return len(r.Matches) > 0
}

// partly warns of redirects to https that look as if they were for a whole
// site, but are not: more specific routes go before them and answer in plain,
// though they stand behind a listener with TLS, too.
func (v *checker) partly(routes []*Route) {
	var open map[doorstep]*opened // made when the first such redirect is met
	for _, r := range routes {
		if !r.upgrades() {
			continue
		}
		if open == nil {
			open = v.openRoutes(routes)
		}
		for _, parent := range r.Parents {
			found, host := opened{}, "" // "" is any
			for i := 0; i == 0 || i < len(r.Hostnames); i++ {
				if len(r.Hostnames) > 0 {
					host = r.Hostnames[i]
				}
				if o := open[doorstep{parent, host}]; o != nil {
					found.count += o.count
					if found.first == nil {
						found.first = o.first
					}
				}
			}
			if found.first == nil {
				continue
			}
			text := fmt.Sprintf("route %s redirects to https only what no other route takes; still served without TLS on listener %s: route %s (%s)",
				r.Name, parent, found.first.Name, place(found.first.Origin))
			if found.count > 1 {
				text += fmt.Sprintf(" and %d more", found.count-1)
			}
			v.at = r.Origin
			v.doubtful("partial-redirect", text, "to redirect everything say redirect: https at the listener, or let the others stand behind listeners with TLS only")
			break
		}
	}
}

// doorstep is where a request arrives: listener and host, "" for any.
type doorstep struct{ listener, host string }

// opened are routes that serve in plain what they also serve with TLS.
type opened struct {
	first *Route
	count int
}

func (v *checker) openRoutes(routes []*Route) map[doorstep]*opened {
	all := map[doorstep]*opened{}
	for _, r := range routes {
		if r.toHTTPS() || r.everything() || !v.behind(r, HTTPS) {
			continue
		}
		for _, parent := range r.Parents {
			if v.listeners[parent].Protocol != HTTP {
				continue
			}
			note := func(host string) {
				o := all[doorstep{parent, host}]
				if o == nil {
					o = &opened{first: r}
					all[doorstep{parent, host}] = o
				}
				o.count++
			}
			note("") // a redirect for any host is for these, too
			for _, h := range r.Hostnames {
				note(h)
			}
		}
	}
	return all
}

// behind says whether a route stands behind a listener of a protocol.
func (v *checker) behind(r *Route, p Protocol) bool {
	for _, parent := range r.Parents {
		if v.listeners[parent].Protocol == p {
			return true
		}
	}
	return false
}

// upgrades says whether a route takes whatever comes to its hosts from http to
// https.
func (r *Route) upgrades() bool { return r.toHTTPS() && r.everything() }

func (r *Route) toHTTPS() bool {
	for i := range r.Filters {
		if d := r.Filters[i].Redirect; d != nil && d.Scheme == string(HTTPS) && d.Hostname == "" && d.Path == nil {
			return true
		}
	}
	return false
}

// everything says whether a route takes every path and method.
func (r *Route) everything() bool {
	for i := range r.Matches {
		m := &r.Matches[i]
		if (m.PathKind == PathAny || m.PathKind == PathPrefix && m.Path == "/") && m.Method == "" && len(m.Headers)+len(m.Queries)+len(m.Cookies) == 0 {
			return true
		}
	}
	return len(r.Matches) == 0
}
