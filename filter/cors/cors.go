// Package cors answers preflights and marks responses for pages of other
// origins (Fetch standard, section 3.2; Gateway API HTTPCORSFilter).
//
// An allowed origin is always echoed, never answered with "*": one rule for
// requests with and without credentials, and Vary keeps caches right. "*" among
// the methods or headers echoes what the preflight asks for, which also covers
// Authorization, as a literal "*" would not. What the service says about CORS
// is replaced.
package cors

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/naru-mesh/naru/filter"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// Family builds CORS filters.
func Family() filter.Family { return filter.Family{Name: "cors", Build: build} }

// defaultMaxAge is what browsers assume where nothing is said.
const defaultMaxAge = 5 * time.Second

// cors is a compiled model.CORS. Lists are ready to be written; "" is none.
type cors struct {
	origins     []origin
	methods     string
	anyMethod   bool
	headers     string
	anyHeader   bool
	expose      string
	credentials bool
	maxAge      string
	keys        keys
}

// keys of the fields that are written.
type keys struct{ origin, credentials, methods, headers, expose, maxAge wire.Key }

func build(f *model.Filter) (any, error) {
	m := f.CORS
	if m == nil {
		return nil, nil
	}
	c := &cors{credentials: m.Credentials, keys: keys{
		origin:      wire.KeyOf("Access-Control-Allow-Origin"),
		credentials: wire.KeyOf("Access-Control-Allow-Credentials"),
		methods:     wire.KeyOf("Access-Control-Allow-Methods"),
		headers:     wire.KeyOf("Access-Control-Allow-Headers"),
		expose:      wire.KeyOf("Access-Control-Expose-Headers"),
		maxAge:      wire.KeyOf("Access-Control-Max-Age"),
	}}
	for _, o := range m.Origins {
		compiled, err := compileOrigin(o)
		if err != nil {
			return nil, err
		}
		c.origins = append(c.origins, compiled)
	}
	var err error
	if c.methods, c.anyMethod, err = list("method", m.Methods); err != nil {
		return nil, err
	}
	if c.headers, c.anyHeader, err = list("header", m.Headers); err != nil {
		return nil, err
	}
	expose, any, err := list("exposed header", m.ExposeHeaders)
	if err != nil {
		return nil, err
	}
	c.expose = expose
	if any && !m.Credentials {
		c.expose = "*" // with credentials browsers read it as a header's name
	}
	age := m.MaxAge
	if age == 0 {
		age = defaultMaxAge
	}
	c.maxAge = strconv.FormatInt(int64(max(age, 0)/time.Second), 10)
	return c, nil
}

// list joins names; any says that "*" is among them, which is left out.
func list(what string, names []string) (joined string, any bool, err error) {
	var out []string
	for _, n := range names {
		switch {
		case n == "*":
			any = true
		case !wire.ValidName(n):
			return "", false, fmt.Errorf("%s %q is not a token", what, n)
		default:
			out = append(out, n)
		}
	}
	return strings.Join(out, ", "), any, nil
}

// OnRequest answers a preflight: OPTIONS with Origin and
// Access-Control-Request-Method. One of an origin that is not allowed gets an
// answer without CORS fields, which the browser takes for a refusal. Whether
// method and headers are allowed is the browser's to compare.
func (c *cors) OnRequest(x *filter.Exchange) filter.Verdict {
	if string(x.Request.Method) != "OPTIONS" {
		return filter.Continue
	}
	from, ok := x.Request.Get(wire.KeyOrigin)
	if !ok {
		return filter.Continue
	}
	method, ok := x.Request.Get(wire.KeyACRequestMethod)
	if !ok {
		return filter.Continue
	}
	// 200 and not 204: it is what every client takes for success.
	v := x.Reply(observe.Preflight, 200, nil)
	h := &x.Response
	h.AddString(wire.KeyVary, "Origin, Access-Control-Request-Method, Access-Control-Request-Headers")
	if !c.allows(from) {
		return v
	}
	c.mark(h, from)
	switch {
	case !c.anyMethod:
		c.write(h, c.keys.methods, c.methods)
	case isToken(method):
		h.Add(c.keys.methods, method)
	}
	if c.anyHeader {
		for i := x.Request.Next(wire.KeyACRequestHeaders, 0); i >= 0; i = x.Request.Next(wire.KeyACRequestHeaders, i+1) {
			h.Add(c.keys.headers, x.Request.Value(&x.Request.Fields[i]))
		}
	} else {
		c.write(h, c.keys.headers, c.headers)
	}
	h.AddString(c.keys.maxAge, c.maxAge)
	return v
}

// OnResponse replaces what the response says about CORS.
func (c *cors) OnResponse(x *filter.Exchange) {
	if x.Why == observe.Preflight {
		return
	}
	h := &x.Response
	h.Remove(c.keys.origin)
	h.Remove(c.keys.credentials)
	h.Remove(c.keys.methods)
	h.Remove(c.keys.headers)
	h.Remove(c.keys.expose)
	h.Remove(c.keys.maxAge)
	vary(h)
	if from, ok := sentOrigin(&x.Request); ok && c.allows(from) {
		c.mark(h, from)
	}
}

// mark adds what every response to an allowed origin has.
func (c *cors) mark(h *wire.Head, from []byte) {
	h.Add(c.keys.origin, from)
	if c.credentials {
		h.AddString(c.keys.credentials, "true")
	}
	c.write(h, c.keys.expose, c.expose)
}

func (c *cors) write(h *wire.Head, k wire.Key, value string) {
	if value != "" {
		h.AddString(k, value)
	}
}

// sentOrigin gives the Origin that the client sent, also where a filter has
// removed or replaced it since: what is dropped keeps its place.
func sentOrigin(h *wire.Head) ([]byte, bool) {
	for i := range h.Fields {
		if h.Fields[i].ID == wire.Origin {
			return h.Value(&h.Fields[i]), true
		}
	}
	return nil, false
}

// vary adds Vary: Origin, unless the response has it, or varies by everything.
func vary(h *wire.Head) {
	for i := h.Next(wire.KeyVary, 0); i >= 0; i = h.Next(wire.KeyVary, i+1) {
		if names(h.Value(&h.Fields[i]), "origin") {
			return
		}
	}
	h.AddString(wire.KeyVary, "Origin")
}

// names says whether a list of names has name, which is lower case, or "*".
func names(list []byte, name string) bool {
	for from := 0; from <= len(list); {
		to := from
		for to < len(list) && list[to] != ',' {
			to++
		}
		item := list[from:to]
		for len(item) > 0 && (item[0] == ' ' || item[0] == '\t') {
			item = item[1:]
		}
		for n := len(item); n > 0 && (item[n-1] == ' ' || item[n-1] == '\t'); n-- {
			item = item[:n-1]
		}
		if wire.EqualFold(item, name) || string(item) == "*" {
			return true
		}
		from = to + 1
	}
	return false
}

func isToken(b []byte) bool {
	for _, c := range b {
		if !wire.IsToken(c) {
			return false
		}
	}
	return len(b) > 0
}
