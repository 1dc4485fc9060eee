package model

import (
	"fmt"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
)

func (v *checker) route(r *Route) *Route {
	if r = v.parents(r); r == nil {
		return nil
	}
	if r = v.hostnames(r); r == nil {
		return nil
	}
	if r = v.matches(r); r == nil {
		return nil
	}
	r = v.backends(r)
	r = v.filters(r)
	return v.rollout(v.patience(r))
}

func (v *checker) parents(r *Route) *Route {
	good := v.hang("route "+r.Name, r.Parents, func(l *Listener) bool {
		if l.Protocol.OfFlows() {
			v.broken("wrong-listener", fmt.Sprintf("route %s hangs on listener %s, which speaks %s: it has connections, not requests", r.Name, l.Name, l.Protocol),
				"routes of requests stand behind http and https")
			v.because("Accepted", "NotAllowedByListeners")
			return false
		}
		return true
	})
	if len(good) == 0 {
		return nil
	}
	if len(good) < len(r.Parents) {
		r = copied(r)
		r.Parents = good
	}
	return r
}

// hang gives the parents of a noun that are there and suit it.
func (v *checker) hang(who string, parents []string, suits func(*Listener) bool) []string {
	good := parents
	for i, p := range parents {
		l, ok := v.listeners[p]
		switch {
		case ok:
			ok = suits(l)
		case !v.refusedListener(p):
			v.broken("unknown-listener", who+" hangs on listener "+strconv.Quote(p)+", which is not there", meant(v, p, v.listeners))
		}
		good = keep(good, parents, i, ok)
	}
	if len(parents) == 0 {
		v.broken("no-listener", who+" hangs on no listener", "name one as its parent")
	}
	return good
}

// refusedListener says whether a listener that does not serve has a mistake
// itself. Then that is all there is to say, and not once more at each route.
func (v *checker) refusedListener(name string) bool {
	if v.writtenListeners == nil {
		v.writtenListeners = places(v.written.Listeners)
	}
	_, ok := v.writtenListeners[name]
	return ok
}

// hostnames takes out the malformed ones; when none is left the route goes,
// for without hostnames it would match every host.
func (v *checker) hostnames(r *Route) *Route {
	good := v.reached("route "+r.Name, r.Hostnames, r.Parents)
	if len(good) == 0 && len(r.Hostnames) > 0 {
		return nil
	}
	if len(good) < len(r.Hostnames) {
		r = copied(r)
		r.Hostnames = good
	}
	return r
}

// reached gives the hostnames that are well formed, and warns where none of
// them comes to the parents.
func (v *checker) reached(who string, hostnames, parents []string) []string {
	good, reached := hostnames, false
	for i, h := range hostnames {
		ok := isHostname(h, true)
		if !ok {
			v.broken("bad-hostname", who+" has the hostname "+strconv.Quote(h), hostnameHint)
		}
		good = keep(good, hostnames, i, ok)
		for _, p := range parents {
			reached = reached || covers(v.listeners[p].Hostname, h)
		}
	}
	if len(good) > 0 && !reached {
		v.doubtful("unreachable", "none of the hostnames of "+who+" comes to its listeners", "give the listener a hostname that covers them")
	}
	return good
}

// matches takes out the malformed ones; when none is left the route goes, for
// without matches it would match every request.
func (v *checker) matches(r *Route) *Route {
	good := r.Matches
	for i := range r.Matches {
		good = keep(good, r.Matches, i, v.match(r, &r.Matches[i]))
	}
	if len(good) < len(r.Matches) {
		if len(good) == 0 {
			return nil
		}
		r = copied(r)
		r.Matches = good
	}
	return r
}

func (v *checker) match(r *Route, m *Match) bool {
	ok := v.path(r, m)
	if m.Method != "" && !isToken(m.Method) {
		ok = false
		v.broken("bad-method", "route "+r.Name+" matches the method "+strconv.Quote(m.Method), "write GET, POST, ...")
	} else if m.Method != strings.ToUpper(m.Method) {
		v.doubtful("bad-method", "route "+r.Name+" matches the method "+m.Method+", and methods differ by case", "write "+strings.ToUpper(m.Method))
	}
	ok = v.fields(r, "header", m.Headers) && ok
	ok = v.fields(r, "query parameter", m.Queries) && ok
	return v.fields(r, "cookie", m.Cookies) && ok
}

func (v *checker) path(r *Route, m *Match) bool {
	wrong, hint := "", "a path begins with /"
	switch m.PathKind {
	case PathAny:
		if m.Path != "" {
			wrong, hint = "has no kind", "say exact, prefix, template or regex"
		}
	case PathExact, PathPrefix, PathTemplate:
		switch {
		case m.Path == "" || m.Path[0] != '/':
			wrong = "does not begin with /"
		case hasControl(m.Path) || strings.ContainsRune(m.Path, ' '):
			wrong, hint = "holds a space or a control character", "encode it, as in %20"
		case strings.ContainsAny(m.Path, "?#"):
			wrong, hint = "holds a ? or #, which are not part of a path", "match query parameters by themselves"
		case m.PathKind == PathTemplate:
			_, wrong = captures(m.Path)
			hint = "write /orders/{id} or /files/{rest...}"
		}
	case PathRegex:
		if wrong = v.expression(m.Path); wrong != "" {
			wrong, hint = "is no regular expression: "+wrong, reHint
		}
	default:
		wrong, hint = "is of the unknown kind "+strconv.Quote(string(m.PathKind)), "say exact, prefix, template or regex"
	}
	if wrong != "" {
		v.broken("bad-path", "route "+r.Name+" matches a path "+strconv.Quote(m.Path)+" that "+wrong, hint)
	}
	return wrong == ""
}

const reHint = "the syntax is RE2's: no back references, no look-around"

// expression says what is wrong with a regular expression. It only parses:
// compiling ten thousand would take longer than all other checks.
func (v *checker) expression(s string) string {
	wrong, known := v.expressions[s]
	if !known {
		if _, err := syntax.Parse(s, syntax.Perl); err != nil {
			wrong = strings.TrimPrefix(err.Error(), "error parsing regexp: ")
		}
		v.expressions[s] = wrong
	}
	return wrong
}

func (v *checker) fields(r *Route, what string, list []FieldMatch) bool {
	said := len(v.problems)
	for i := range list {
		f := &list[i]
		if f.Name == "" || what != "query parameter" && !isToken(f.Name) {
			v.broken("bad-name", "route "+r.Name+" matches a "+what+" named "+strconv.Quote(f.Name), "")
		}
		switch f.Kind {
		case FieldExact, FieldPresent, FieldAbsent:
		case FieldRegex:
			if wrong := v.expression(f.Value); wrong != "" {
				v.broken("bad-regex", "route "+r.Name+" matches the "+what+" "+f.Name+" with a bad regular expression: "+wrong, reHint)
			}
		default:
			v.broken("bad-value", "route "+r.Name+" matches the "+what+" "+f.Name+" by "+strconv.Quote(string(f.Kind)), "say exact, regex, present or absent")
		}
	}
	return len(v.problems) == said
}

// backends makes those whose service is not there answer 500 for their share:
// giving it to the others would hide the mistake.
func (v *checker) backends(r *Route) *Route {
	changed, sum := v.shares("route "+r.Name, r.Backends, func(b *Backend) bool { return v.filterList(r, b.Filters) })
	if len(r.Backends) > 0 && sum == 0 {
		v.doubtful("no-backend", "all backends of route "+r.Name+" have weight 0, its requests get 500", "give one a weight of 1 or more")
	}
	if changed != nil {
		r = copied(r)
		r.Backends = changed
	}
	return r
}

// shares gives what backends become, nil where nothing changes, and the sum of
// their weights. good looks at the filters of one that has any.
func (v *checker) shares(who string, list []Backend, good func(*Backend) bool) (changed []Backend, sum int) {
	for i := range list {
		b := list[i]
		if b.Service != "" {
			if _, ok := v.services[b.Service]; !ok {
				v.noService(who, "leads", b.Service)
				b.Service = ""
			}
		}
		if b.Weight < 0 || b.Weight > maxWeight {
			v.broken("bad-weight", fmt.Sprintf("%s gives a backend the weight %d", who, b.Weight), weightHint)
			b.Weight = min(max(b.Weight, 0), maxWeight)
		}
		if len(b.Filters) > 0 && !good(&b) {
			b.Service, b.Filters = "", nil
		}
		if changed != nil || b.Service != list[i].Service || b.Weight != list[i].Weight || len(b.Filters) != len(list[i].Filters) {
			if changed == nil {
				changed = slices.Clone(list)
			}
			changed[i] = b
		}
		sum += b.Weight
	}
	return changed, sum
}

// noService says why a service that somebody leads or mirrors to does not serve.
func (v *checker) noService(who, does, name string) {
	if v.writtenServices == nil {
		v.writtenServices = places(v.written.Services)
	}
	if at, ok := v.writtenServices[name]; ok {
		v.broken("refused-service", who+" "+does+" to service "+strconv.Quote(name)+", which has a mistake itself", "put right what is wrong at "+place(at))
		return
	}
	v.broken("unknown-service", who+" "+does+" to service "+strconv.Quote(name)+", which is not there", meant(v, name, v.services))
	v.because("ResolvedRefs", "BackendNotFound")
}

// filters makes a rule whose filters are broken answer 500: letting requests
// through without them could let through what they were to stop.
func (v *checker) filters(r *Route) *Route {
	if !v.filterList(r, r.Filters) {
		r = copied(r)
		r.Filters, r.Backends = nil, []Backend{{Weight: 1}}
		return r
	}
	good, answers := r.Filters, false
	for i := range r.Filters {
		f := &r.Filters[i]
		answers = answers || f.Redirect != nil || f.Respond != nil
		if f.Redirect != nil {
			v.circle(r, f.Redirect)
		}
		ok := f.Mirror == nil || v.mirror(r, f.Mirror)
		good = keep(good, r.Filters, i, ok)
	}
	v.callable(r)
	switch {
	case answers && len(r.Backends) > 0:
		v.doubtful("unused", "route "+r.Name+" has backends but answers by itself", "leave one of the two out")
	case !answers && len(r.Backends) == 0:
		v.doubtful("no-backend", "route "+r.Name+" leads nowhere, its requests get 500", "give it a service, a redirect or a response")
	}
	if len(good) < len(r.Filters) {
		r = copied(r)
		r.Filters = good
	}
	return r
}

// callable warns of gRPC that leads to a service which does not speak HTTP/2.
func (v *checker) callable(r *Route) {
	if !r.MakesCalls() {
		return
	}
	for i := range r.Backends {
		name := r.Backends[i].Service
		if _, is := v.http1[name]; is {
			v.doubtful("not-http2", "route "+r.Name+" makes gRPC calls, but service "+name+" speaks HTTP/1", "give the service protocol: http2")
			return
		}
	}
}

// MakesCalls says whether something of the route is for gRPC calls alone.
func (r *Route) MakesCalls() bool {
	return r.CountCalls || slices.ContainsFunc(r.Filters, func(f Filter) bool { return f.GRPCWeb != nil || f.Transcode != nil })
}

// mirror says whether the copies have somewhere to go. Without them the
// requests are served all the same, so only the filter goes.
func (v *checker) mirror(r *Route, m *Mirror) bool {
	if _, ok := v.services[m.Service]; !ok {
		v.noService("route "+r.Name, "mirrors", m.Service)
		return false
	}
	if m.Numerator < 0 || m.Denominator < 0 || m.Numerator > m.Denominator {
		v.broken("bad-value", fmt.Sprintf("route %s mirrors %d of %d requests", r.Name, m.Numerator, m.Denominator), "write a fraction between 0 and 1")
		return false
	}
	return true
}
