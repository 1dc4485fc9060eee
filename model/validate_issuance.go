package model

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// issuance checks how l gets certificates, and gives the listener as it may
// serve: nil where a rule about who may have a certificate cannot be held.
func (v *checker) issuance(l *Listener) *Listener {
	i := l.Issuance
	if i == nil {
		return l
	}
	said := len(v.problems)
	what := "listener " + l.Name
	if i.By != ACME && i.By != Local {
		v.broken("bad-value", what+" gets certificates by "+strconv.Quote(string(i.By)), "write acme or local")
		return nil
	}
	if i.By == Local && (i.Email != "" || i.Directory != "" || i.DirectoryCAFile != "" || len(i.OnDemand) > 0 || i.Ask != "") {
		v.doubtful("unused", what+" gets certificates from this machine: email, directory, onDemand and ask mean nothing to it", "")
		said++
	}
	for _, u := range []struct{ name, url string }{{"directory", i.Directory}, {"ask", i.Ask}} {
		if u.url != "" && !isWebURL(u.url) {
			v.broken("bad-value", what+" has the "+u.name+" "+strconv.Quote(u.url), "write a URL: https://...")
		}
	}
	for _, pattern := range i.OnDemand {
		if !isHostname(pattern, true) || strings.HasPrefix(pattern, "[") {
			v.broken("bad-hostname", what+" allows certificates on demand for "+strconv.Quote(pattern), hostnameHint)
		}
	}
	if i.Email != "" && (strings.Count(i.Email, "@") != 1 || hasControl(i.Email) || strings.ContainsAny(i.Email, " ,?")) {
		v.broken("bad-value", what+" has the email "+strconv.Quote(i.Email), "write an address such as ops@example.com")
	}
	if len(v.problems) > said {
		return nil
	}
	good := i.Names
	for k, name := range i.Names {
		ok := true
		if !isHostname(name, true) || strings.HasPrefix(name, "[") {
			ok = false
			v.broken("bad-hostname", what+" wants a certificate for "+strconv.Quote(name), hostnameHint)
		} else if why := i.Obtainable(name); why != "" {
			ok = false
			v.broken("not-obtainable", fmt.Sprintf("%s gets no certificate for %s, which %s", what, name, why), obtainHint(i))
		}
		good = keep(good, i.Names, k, ok)
	}
	if len(good) == len(i.Names) {
		return l
	}
	if len(good) == 0 && len(i.OnDemand) == 0 && i.Ask == "" && len(l.Certificates) == 0 {
		return nil // without names it would ask for those of its routes instead
	}
	l, i = copied(l), copied(i)
	i.Names, l.Issuance = good, i
	return l
}

func obtainHint(i *Issuance) string {
	if i.Directory == "" {
		return "for developing write tls: local; an authority of your own is a directory"
	}
	return ""
}

func isWebURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != ""
}

// obtaining looks at all listeners of c that ask authorities for certificates,
// once it is known which names they serve.
func (v *checker) obtaining(c *Config) {
	reachable := false
	for _, l := range c.Listeners {
		reachable = reachable || l.Port == 80 && l.Protocol == HTTP || l.Port == 443 && l.Protocol == HTTPS
	}
	for _, l := range c.Listeners {
		i := l.Issuance
		if i == nil || i.By != ACME {
			continue
		}
		v.at = l.Origin
		names := c.IssuedNames(l)
		if len(i.Names) == 0 {
			good := names
			for k, name := range names {
				why := i.Obtainable(name)
				if why != "" {
					v.doubtful("not-obtainable", fmt.Sprintf("listener %s gets no certificate for %s, which %s", l.Name, name, why), obtainHint(i))
				}
				good = keep(good, names, k, why == "")
			}
			names = good
		}
		if len(names) == 0 && len(i.OnDemand) == 0 && i.Ask == "" && len(l.Certificates) == 0 {
			v.doubtful("no-name", "listener "+l.Name+" knows no name to get a certificate for",
				"give it a hostname, or its routes hosts, or name them under tls: {auto: {names: [...]}}")
		}
		if !reachable && i.Directory == "" && l.Port != 0 {
			v.doubtful("not-reachable", fmt.Sprintf("listener %s gets certificates only if port 80 or 443 of its names leads here", l.Name),
				"listen on one of them, or have it forwarded")
			reachable = true // said once
		}
	}
}
