// Package redirect answers with another place to go (Gateway API
// RequestRedirect).
package redirect

import (
	"bytes"
	"fmt"
	"strconv"

	"github.com/naru-mesh/naru/filter"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// Family builds redirects.
func Family() filter.Family { return filter.Family{Name: "redirect", Build: build} }

type redirect struct {
	status   int
	scheme   string // "": the request's
	hostname string // "": the request's
	port     uint16 // 0: see location
	path     *filter.PathEdit
}

func build(f *model.Filter) (any, error) {
	m := f.Redirect
	if m == nil {
		return nil, nil
	}
	r := &redirect{status: m.Status, scheme: m.Scheme, hostname: m.Hostname, port: m.Port}
	switch m.Status {
	case 301, 302, 303, 307, 308:
	case 0:
		r.status = 302
	default:
		return nil, fmt.Errorf("status %d is not a redirect: use 301, 302, 303, 307 or 308", m.Status)
	}
	switch m.Scheme {
	case "", "http", "https":
	default:
		return nil, fmt.Errorf("scheme %q is not http or https", m.Scheme)
	}
	if m.Hostname != "" {
		if err := filter.HostValue(m.Hostname, false); err != nil {
			return nil, fmt.Errorf("hostname: %w", err)
		}
	}
	var err error
	if r.path, err = filter.CompilePathEdit(m.Path); err != nil {
		return nil, fmt.Errorf("path: %w", err)
	}
	return r, nil
}

// OnRequest answers.
func (r *redirect) OnRequest(x *filter.Exchange) filter.Verdict {
	v := x.Reply(observe.Redirected, r.status, nil)
	h := &x.Response
	from := len(h.Buf)
	h.Buf = r.location(h.Buf, x)
	h.Add(wire.KeyLocation, h.Buf[from:])
	return v
}

// location appends the value of Location. A request without a host (HTTP/1.0)
// is answered with a path alone (RFC 9110 section 10.2.2).
//
// The port, where none is configured, is the scheme's well-known one if a
// scheme is configured, and the listener's otherwise; a port that is the
// scheme's well-known one is not written.
func (r *redirect) location(out []byte, x *filter.Exchange) []byte {
	scheme, port := r.scheme, r.port
	if scheme == "" {
		scheme = x.Scheme
	}
	if port == 0 {
		if port = x.Port; r.scheme != "" {
			port = wellKnown(scheme)
		}
	}
	host := hostOf(x.Request.Authority)
	if r.hostname != "" || len(host) > 0 {
		out = append(out, scheme...)
		out = append(out, "://"...)
		if r.hostname != "" {
			out = append(out, r.hostname...)
		} else {
			out = append(out, host...)
		}
		if port != wellKnown(scheme) {
			out = append(out, ':')
			out = strconv.AppendUint(out, uint64(port), 10)
		}
	}
	switch path := x.Request.Path; {
	case r.path != nil:
		out, _ = r.path.Append(out, x)
	case len(path) > 0 && path[0] == '/':
		out = append(out, path...)
	default: // OPTIONS *
		out = append(out, '/')
	}
	if x.Request.HasQuery {
		out = append(out, '?')
		out = append(out, x.Request.Query...)
	}
	return out
}

func wellKnown(scheme string) uint16 {
	if scheme == "https" {
		return 443
	}
	return 80
}

// hostOf gives an authority without its port.
func hostOf(authority []byte) []byte {
	if i := bytes.LastIndexByte(authority, ':'); i >= 0 && bytes.IndexByte(authority[i:], ']') < 0 {
		return authority[:i]
	}
	return authority
}
