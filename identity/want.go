package identity

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/naru-mesh/naru/model"
)

// Wants are those of the listeners of c whose authority is of the kind by, in
// the order of the listeners, and what is wrong with them. A listener whose
// rule about who may have a certificate has a mistake wants nothing: it is not
// guessed. Names that the authority gives nobody are left out.
func Wants(c *model.Config, by model.IssuedBy) (wants []Want, problems []model.Problem) {
	said := reachable(c)
	for _, l := range c.Listeners {
		if l.Issuance == nil || l.Issuance.By != by {
			continue
		}
		k := checker{l: l, i: l.Issuance}
		if k.rule(); len(k.problems) == 0 {
			w := Want{Listener: l.Name, Issuance: l.Issuance, Origin: l.Origin, Names: k.names(names(c, l))}
			wants = append(wants, w)
			k.nameless(&w)
			if by == model.ACME && l.Issuance.Directory == "" && !said && l.Port != 0 {
				said = true // once
				k.tell(model.Doubtful, "not-reachable", "gets certificates only if port 80 or 443 of its names leads here",
					"listen on one of them, or have it forwarded")
			}
		}
		problems = append(problems, k.problems...)
	}
	return wants, problems
}

// reachable says whether authorities find one of the ports that they ask.
func reachable(c *model.Config) bool {
	for _, l := range c.Listeners {
		if l.Port == 80 && l.Protocol == model.HTTP || l.Port == 443 && l.Terminates() {
			return true
		}
	}
	return false
}

// checker looks at one listener.
type checker struct {
	l        *model.Listener
	i        *model.Issuance
	problems []model.Problem
}

func (k *checker) tell(s model.Severity, code, message, hint string) {
	k.problems = append(k.problems, model.Problem{Origin: k.l.Origin, Severity: s, Code: code, Message: "listener " + k.l.Name + " " + message, Hint: hint})
}

const nameHint = "write a DNS name in lower case, such as api.example.com or *.example.com"

// rule checks what must be right before anybody is asked for anything.
func (k *checker) rule() {
	i := k.i
	for _, u := range []struct{ name, url string }{{"directory", i.Directory}, {"ask", i.Ask}} {
		if u.url != "" && !isWebURL(u.url) {
			k.tell(model.Broken, "bad-value", "has the "+u.name+" "+strconv.Quote(u.url), "write a URL: https://...")
		}
	}
	for _, pattern := range i.OnDemand {
		if !isName(pattern) {
			k.tell(model.Broken, "bad-hostname", "allows certificates on demand for "+strconv.Quote(pattern), nameHint)
		}
	}
	if i.Email != "" && (strings.Count(i.Email, "@") != 1 || strings.ContainsAny(i.Email, " ,?\r\n\t")) {
		k.tell(model.Broken, "bad-value", "has the email "+strconv.Quote(i.Email), "write an address such as ops@example.com")
	}
}

func isWebURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != ""
}

// names gives those of list that can be had. A name that somebody wrote down
// for its certificate is a mistake where it cannot; one of a route is served
// without.
func (k *checker) names(list []string) (good []string) {
	severity := model.Broken
	if len(k.i.Names) == 0 {
		severity = model.Doubtful
	}
	for _, name := range list {
		why := Obtainable(k.i, name)
		if why == "" && k.i.By == model.ACME && !isName(name) {
			why = "is no DNS name"
		}
		if why == "" {
			good = append(good, name)
			continue
		}
		hint := ""
		if k.i.Directory == "" {
			hint = "for developing write tls: local"
		}
		k.tell(severity, "not-obtainable", fmt.Sprintf("gets no certificate for %s, which %s", name, why), hint)
	}
	return good
}

// nameless warns of a listener that will never show a certificate.
func (k *checker) nameless(w *Want) {
	i := k.i
	if i.By == model.ACME && len(w.Names) == 0 && len(i.OnDemand) == 0 && i.Ask == "" && len(k.l.Certificates) == 0 {
		k.tell(model.Doubtful, "no-name", "knows no name to get a certificate for",
			"give it a hostname, or its routes hosts, or name them: tls: {auto: {names: [...]}}")
	}
}
