package proxy

import (
	"encoding/base64"
	"encoding/binary"
	"strconv"
	"time"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/route"
	"github.com/naru-mesh/naru/wire"
)

// persistence is a model.Session compiled.
type persistence struct {
	noun   *model.Session
	name   string
	header wire.Key // of SessionHeader
}

var keySetCookie = wire.KeyOf("Set-Cookie")

func compileSession(noun *model.Session) *persistence {
	if noun == nil {
		return nil
	}
	s := &persistence{noun: noun, name: pick(noun.Name, model.DefaultSessionName)}
	s.header = wire.KeyOf(s.name)
	return s
}

// A session is shown as base64url of the endpoint's token and of when the
// session began, in Unix seconds.
const (
	sessionBytes = 8 + 4
	sessionText  = sessionBytes * 4 / 3
)

// read gives what the request shows: 0 where it shows none, or one that is over.
func (s *persistence) read(x *exchange) (token uint64, began uint32) {
	var text []byte
	if s.noun.Kind == model.SessionHeader {
		text, _ = x.Request.Get(s.header)
	} else {
		text, _ = route.Cookie(&x.Request, s.name)
	}
	var b [sessionBytes]byte
	if len(text) != sessionText {
		return 0, 0
	}
	if n, err := base64.RawURLEncoding.Decode(b[:], text); err != nil || n != len(b) {
		return 0, 0
	}
	token, began = binary.BigEndian.Uint64(b[:]), binary.BigEndian.Uint32(b[8:])
	if life := s.noun.Lifetime; life > 0 {
		if age := x.w.loop.Wall().Sub(time.Unix(int64(began), 0)); age < 0 || age >= life {
			return 0, 0
		}
	}
	return token, began
}

// resume finds the session that the request shows, and the backend that it is
// with: nil where that is to be chosen.
func (x *exchange) resume() *backend {
	r := x.rule
	if r.session == nil {
		return nil
	}
	token, began := r.session.read(x)
	if token == 0 {
		return nil
	}
	for i := range r.backends {
		if b := &r.backends[i]; b.cluster != nil && b.cluster.Knows(token) {
			x.session, x.sessionBegan = token, began
			return b
		}
	}
	return nil
}

// remind tells the client which session it is in, where it does not know: the
// first time, and when another endpoint has taken over. The time of its
// beginning stays.
func (x *exchange) remind() {
	s := x.rule.session
	if s == nil || x.endpoint == nil {
		return
	}
	token := x.backend.cluster.Token(x.endpoint)
	if token == x.session {
		return
	}
	now := x.w.loop.Wall()
	began := x.sessionBegan
	if x.session == 0 {
		began = uint32(now.Unix())
	}
	var b [sessionBytes]byte
	binary.BigEndian.PutUint64(b[:], token)
	binary.BigEndian.PutUint32(b[8:], began)
	out := x.w.out[:0]
	if s.noun.Kind == model.SessionHeader {
		out = base64.RawURLEncoding.AppendEncode(out, b[:])
		x.Response.Set(s.header, out)
		x.w.out = out
		return
	}
	out = append(append(out, s.name...), '=')
	out = base64.RawURLEncoding.AppendEncode(out, b[:])
	out = append(out, "; Path=/; HttpOnly"...)
	if x.Scheme == string(model.HTTPS) {
		out = append(out, "; Secure"...)
	}
	if s.noun.Permanent {
		left := s.noun.Lifetime - now.Sub(time.Unix(int64(began), 0))
		out = append(out, "; Max-Age="...)
		out = strconv.AppendInt(out, int64(max(left, time.Second)/time.Second), 10)
	}
	x.Response.Add(keySetCookie, out)
	x.w.out = out
}
