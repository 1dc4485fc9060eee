package model

import (
	"strconv"
	"time"
)

// SessionKind says how a client shows which session it is in.
type SessionKind string

const (
	SessionCookie SessionKind = "cookie" // set by naru, sent back by the client
	SessionHeader SessionKind = "header" // told by naru in a response; the client repeats it
)

// Session keeps a client's requests at the endpoint that served the first of
// them, among all Backends of a Route, as long as that endpoint is there and
// well. Then another is chosen, and the client is told. What it shows is a hash
// that names one of the current endpoints, or nothing: no address can be reached
// by it that the Route does not lead to. It is the same on every proxy and after
// a restart.
type Session struct {
	Kind SessionKind `json:"kind"`
	// Name of the cookie or header; "" is DefaultSessionName.
	Name string `json:"name,omitempty"`
	// Lifetime is when a session ends, from its first response; 0 is never. At
	// most 10 years.
	Lifetime time.Duration `json:"lifetime,omitempty"`
	// Permanent lets a cookie outlive the browser, for the Lifetime, which it
	// needs.
	Permanent bool `json:"permanent,omitempty"`
}

// DefaultSessionName is Session.Name where nothing is said.
const DefaultSessionName = "naru-session"

// MostSession bounds Session.Lifetime.
const MostSession = 10 * 365 * 24 * time.Hour

func (b *content) session(s *Session) {
	if s == nil {
		return
	}
	b.text("session", string(s.Kind), s.Name)
	b.time(s.Lifetime)
	b.bool(s.Permanent)
}

// session checks a Route's Session. One that is wrong is left out: requests are
// balanced each by itself.
func (v *checker) session(r *Route) *Route {
	s := r.Session
	if s == nil {
		return r
	}
	wrong := ""
	switch {
	case s.Kind == SessionOff:
		return r
	case s.Kind != SessionCookie && s.Kind != SessionHeader:
		wrong = "shown by " + strconv.Quote(string(s.Kind)) + ", which is neither cookie nor header"
	case s.Name != "" && !isToken(s.Name):
		wrong = "named " + strconv.Quote(s.Name)
	case s.Lifetime < 0 || s.Lifetime > MostSession:
		wrong = "with a lifetime that cannot be"
	case s.Permanent && (s.Kind != SessionCookie || s.Lifetime == 0):
		wrong = "that is permanent, which is for cookies with a lifetime"
	default:
		return r
	}
	v.broken("bad-value", "route "+r.Name+" has a session "+wrong+"; its requests are balanced each by itself", "for example a cookie named "+DefaultSessionName)
	r = copied(r)
	r.Session = nil
	return r
}
