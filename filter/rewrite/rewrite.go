// Package rewrite changes the host and the path that the service sees
// (Gateway API URLRewrite).
package rewrite

import (
	"fmt"

	"github.com/naru-mesh/naru/filter"
	"github.com/naru-mesh/naru/model"
)

// Family builds rewrites.
func Family() filter.Family { return filter.Family{Name: "rewrite", Build: build} }

type rewrite struct {
	authority []byte // nil: as it is
	path      *filter.PathEdit
}

func build(f *model.Filter) (any, error) {
	m := f.Rewrite
	if m == nil {
		return nil, nil
	}
	r := &rewrite{}
	if m.Hostname != "" {
		if err := filter.HostValue(m.Hostname, true); err != nil {
			return nil, fmt.Errorf("hostname: %w", err)
		}
		r.authority = []byte(m.Hostname)
	}
	var err error
	if r.path, err = filter.CompilePathEdit(m.Path); err != nil {
		return nil, fmt.Errorf("path: %w", err)
	}
	return r, nil
}

// OnRequest changes Authority and Path. Matched is changed with the path, so
// that a second rewrite, of the backend, finds the prefix that the first one
// left, and a repeated one changes nothing more.
func (r *rewrite) OnRequest(x *filter.Exchange) filter.Verdict {
	h := &x.Request
	if r.authority != nil {
		h.Authority = r.authority
	}
	if r.path != nil {
		from := len(h.Buf)
		h.Buf, x.Matched = r.path.Append(h.Buf, x)
		h.Path = h.Buf[from:len(h.Buf):len(h.Buf)]
	}
	return filter.Continue
}
