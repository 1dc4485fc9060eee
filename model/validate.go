package model

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"time"
)

// Validate gives the part of c that can serve, sorted by name, and a Problem
// for each mistake. It is the last line: dialects find mistakes first and
// point at them more exactly, but what Validate lets through does not trouble
// a proxy, whatever a dialect did.
//
// It drops as little as it can without letting a request do what nobody meant:
// a match that is broken goes, but a route does not come to match everything;
// a rule whose filters are broken answers 500 instead of passing requests
// without them; a service whose TLS is broken is not spoken to in plain.
//
// c and its nouns are not written to: what changes is copied, everything else
// is the same pointer. Validating the result again changes nothing and gives
// no Problem that is Broken.
func Validate(c *Config) (*Config, []Problem) {
	var v Validator
	return v.Validate(c)
}

// Validator validates one Config after another and does not look twice at a
// Route in which there was nothing to find, as long as the listeners have
// the same names, hostnames, ports and protocols and the services the same
// names and protocols: that is all that a Route is compared with. Nor does it look
// at anything else where some workloads are others, that serve the same ports. The
// zero Validator is ready; it is for one goroutine.
type Validator struct {
	listeners []*Listener
	services  []*Service
	sound     []*Route // sorted by name
	hashes    *hashes  // of all routes that are valid
	settled   settled
}

// Validate is as the function of the same name. Nouns must not have been
// written to since the last call.
func (last *Validator) Validate(c *Config) (*Config, []Problem) {
	if out := last.settled.again(c); out != nil {
		return out, slices.Clone(last.settled.problems)
	}
	v := &checker{
		certificates: make(map[string]struct{}, len(c.Certificates)),
		listeners:    make(map[string]*Listener, len(c.Listeners)),
		services:     make(map[string]struct{}, len(c.Services)),
		http1:        map[string]struct{}{},
		expressions:  map[string]string{},
	}
	in := c
	c = v.named(c)
	v.written = c
	out := &Config{Settings: v.settings(c.Settings), Mesh: v.mesh(c.Mesh)}
	v.own = out.Mesh
	out.Certificates = check(v, "certificate", c.Certificates, v.certificate)
	for _, x := range out.Certificates {
		v.certificates[x.Name] = struct{}{}
	}
	out.Listeners = v.doors(check(v, "listener", c.Listeners, v.listener))
	for _, x := range out.Listeners {
		v.listeners[x.Name] = x
	}
	v.instances(c.Workloads)
	out.Services = v.sameNames(check(v, "service", c.Services, v.service))
	for _, x := range out.Services {
		v.services[x.Name] = struct{}{}
		if x.SpeaksHTTP1() {
			v.http1[x.Name] = struct{}{}
		}
	}
	if !slices.EqualFunc(out.Listeners, last.listeners, sameDoor) || !slices.EqualFunc(out.Services, last.services, sameName) {
		last.sound = nil
	}
	sound := make([]*Route, 0, len(c.Routes))
	out.Routes = check(v, "route", c.Routes, func(r *Route) *Route {
		for len(last.sound) > 0 && last.sound[0].Name < r.Name {
			last.sound = last.sound[1:]
		}
		said := len(v.problems)
		if len(last.sound) == 0 || last.sound[0] != r {
			if now := v.route(r); now != r || len(v.problems) > said {
				return now
			}
		}
		sound = append(sound, r)
		return r
	})
	out.Routes = v.together(out.Routes)
	out.Flows = v.shadowed(check(v, "flow", c.Flows, v.flow))
	said := len(v.problems)
	out.Workloads = check(v, "workload", c.Workloads, v.workload)
	ofWorkloads := len(v.problems) > said
	v.valid = out
	out.Policies = check(v, "policy", c.Policies, v.policy)
	if len(c.Traffic) > 0 {
		out.Traffic = check(v, "traffic policy", c.Traffic, v.traffic)
	}
	hashes := v.twins(out.Routes, last.hashes)
	v.partly(out.Routes)
	*last = Validator{out.Listeners, out.Services, sound, hashes, v.settle(in, out, ofWorkloads)}
	return out, v.problems
}

func sameDoor(a, b *Listener) bool {
	return a.Name == b.Name && a.Hostname == b.Hostname && a.Port == b.Port && a.Protocol == b.Protocol
}
func sameName(a, b *Service) bool {
	return a.Name == b.Name && a.SpeaksHTTP1() == b.SpeaksHTTP1()
}

// SpeaksHTTP1 says whether its endpoints are asked by HTTP/1 and nothing else.
func (s *Service) SpeaksHTTP1() bool {
	return s.Protocol != HTTP2 && (s.Protocol != HTTPAuto || s.TLS == nil)
}

// noun is what the kinds have in common.
type noun interface {
	name() string
	origin() Origin
}

func (l *Listener) name() string      { return l.Name }
func (l *Listener) origin() Origin    { return l.Origin }
func (r *Route) name() string         { return r.Name }
func (f *Flow) name() string          { return f.Name }
func (f *Flow) origin() Origin        { return f.Origin }
func (r *Route) origin() Origin       { return r.Origin }
func (s *Service) name() string       { return s.Name }
func (s *Service) origin() Origin     { return s.Origin }
func (c *Certificate) name() string   { return c.Name }
func (c *Certificate) origin() Origin { return c.Origin }

// sorted gives list in the order of names; list itself where it is in order.
func sorted[T noun](list []T) []T {
	byName := func(a, b T) int { return cmp.Compare(a.name(), b.name()) }
	if slices.IsSortedFunc(list, byName) {
		return list
	}
	list = slices.Clone(list)
	slices.SortStableFunc(list, byName)
	return list
}

// check gives what one of each name becomes, without what it refuses (nil).
func check[T interface {
	noun
	comparable
}](v *checker, kind string, list []T, one func(T) T) []T {
	var none T
	list = sorted(list)
	out := make([]T, 0, len(list))
	var last T
	for _, x := range list {
		v.at = x.origin()
		switch {
		case x.name() == "":
			v.broken("no-name", "this "+kind+" has no name", "")
			continue
		case last != none && last.name() == x.name():
			v.broken("duplicate-name", "there are two "+kind+"s named "+x.name(),
				"the first stands at "+place(last.origin()))
			continue
		}
		last = x
		if y := one(x); y != none {
			out = append(out, y)
		}
	}
	return out
}

// place is where an Origin is, for a message.
func place(o Origin) string { return cmp.Or(o.String(), "an unknown place") }

// checker collects Problems.
type checker struct {
	problems     []Problem
	at           Origin // of the noun being checked
	certificates map[string]struct{}
	listeners    map[string]*Listener
	services     map[string]struct{}
	http1        map[string]struct{} // services that speak nothing else
	expressions  map[string]string   // regular expression to what is wrong with it
	searched     int
	written      *Config
	valid        *Config             // what is valid of it, when policies are checked
	own          *Mesh               // nil where there is none
	partial      *TrafficPolicy      // that is looked at, as if it were a Route or Service
	served       map[string][]uint16 // ports of workloads, by service
	// Places of what was written, by name, made when first needed: what is
	// there and does not serve was refused.
	writtenListeners, writtenServices map[string]Origin
}

// places of nouns by name.
func places[T noun](list []T) map[string]Origin {
	all := make(map[string]Origin, len(list))
	for _, x := range list {
		all[x.name()] = x.origin()
	}
	return all
}

func (v *checker) broken(code, message, hint string) {
	v.problems = append(v.problems, Problem{Origin: v.at, Severity: Broken, Code: code, Message: message, Hint: hint})
}

// because gives the last Problem the condition and reason that the Gateway API
// has for it.
func (v *checker) because(condition, reason string) {
	p := &v.problems[len(v.problems)-1]
	p.Condition, p.Reason = condition, reason
}

func (v *checker) doubtful(code, message, hint string) {
	v.problems = append(v.problems, Problem{Origin: v.at, Severity: Doubtful, Code: code, Message: message, Hint: hint})
}

// meant is the hint for an unknown name. Searching costs a look at every
// name, so a configuration of nothing but unknown names gets a few hints.
func meant[T any](v *checker, word string, in map[string]T) string {
	if v.searched++; v.searched > 20 {
		return ""
	}
	if n := nearest(word, maps.Keys(in)); n != "" {
		return "did you mean " + n + "?"
	}
	return ""
}

// short warns of a time that looks like a forgotten unit.
func (v *checker) short(what string, d time.Duration) {
	if d > 0 && d < time.Millisecond {
		v.doubtful("tiny-time", fmt.Sprintf("%s of %v is hardly meant", what, d), "write a unit: 5s, 250ms")
	}
}

// LongestTime is the longest of the times that are waited for a service: what is
// longer counts as that.
const LongestTime = 24 * time.Hour

// long warns of a time that is cut.
func (v *checker) long(what string, d time.Duration) {
	if d > LongestTime {
		v.doubtful("long-time", fmt.Sprintf("%s of %v is longer than is waited; %v counts", what, d, LongestTime), "leave it out for the default, or bound it: 30s, 10m")
	}
}

func (v *checker) settings(s Settings) Settings {
	v.at = s.Origin
	if s.Admin != "" && s.Admin != "off" {
		if _, err := netip.ParseAddrPort(s.Admin); err != nil && !isHostPort(s.Admin) {
			v.broken("bad-address", "the admin address "+strconv.Quote(s.Admin)+" is not an address with a port",
				"write 127.0.0.1:9901, or off")
			s.Admin = ""
		}
	}
	switch s.AccessLog {
	case "", "off", "json", "text":
	default:
		v.broken("bad-value", "an access log cannot be "+strconv.Quote(s.AccessLog), "write json, text or off")
		s.AccessLog = ""
	}
	if s.AccessLogFile != "" && (s.AccessLog == "" || s.AccessLog == "off") {
		v.doubtful("unused", "an access log file is named, but the access log is off", "set it to json or text")
	}
	s.Overload = v.overload(s.Overload)
	return s
}

func (v *checker) certificate(c *Certificate) *Certificate {
	inline, files := len(c.Chain) > 0 || len(c.Key) > 0, c.ChainFile != "" || c.KeyFile != ""
	switch {
	case !inline && !files:
		v.broken("no-certificate", "certificate "+c.Name+" is empty", "give a certificate and a key")
		return nil
	case inline && (len(c.Chain) == 0 || len(c.Key) == 0), files && (c.ChainFile == "" || c.KeyFile == ""):
		v.broken("no-certificate", "certificate "+c.Name+" is only half there", "give both the certificate and its key")
		return nil
	case inline && files:
		v.broken("bad-value", "certificate "+c.Name+" is given inline and as files", "give one of the two")
		return nil
	case inline && !hasPEM(c.Chain, "CERTIFICATE"):
		v.broken("bad-certificate", "certificate "+c.Name+" holds no PEM certificate", "it begins with -----BEGIN CERTIFICATE-----")
		return nil
	case inline && !hasPEM(c.Key, "PRIVATE KEY"):
		v.broken("bad-certificate", "certificate "+c.Name+" holds no PEM private key", "it begins with -----BEGIN PRIVATE KEY-----")
		return nil
	}
	return c
}
