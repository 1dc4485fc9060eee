// Package headers sets, adds and removes header fields of requests and
// responses (Gateway API RequestHeaderModifier, ResponseHeaderModifier).
package headers

import (
	"errors"
	"fmt"

	"github.com/naru-mesh/naru/filter"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/wire"
)

// RequestFamily builds edits of request headers.
func RequestFamily() filter.Family {
	return filter.Family{Name: "request headers", Build: buildRequest}
}

// ResponseFamily builds edits of response headers.
func ResponseFamily() filter.Family {
	return filter.Family{Name: "response headers", Build: buildResponse}
}

// edit is a compiled model.HeaderEdit.
type edit struct {
	set, add []field
	remove   []wire.Key
}

type field struct {
	key   wire.Key
	value string
}

type request struct {
	edit
	authority []byte // nil: as it is
}

type response struct{ edit }

var errHost = errors.New("the Host field can only be set, not added or removed, and only in a request")

func buildRequest(f *model.Filter) (any, error) {
	m := f.RequestHeaders
	if m == nil {
		return nil, nil
	}
	r := &request{}
	rest := *m
	rest.Set = nil
	for _, h := range m.Set {
		if wire.KeyOf(h.Name).ID != wire.Host {
			rest.Set = append(rest.Set, h)
			continue
		}
		if err := filter.HostValue(h.Value, true); err != nil {
			return nil, fmt.Errorf("set: %w", err)
		}
		r.authority = []byte(h.Value)
	}
	return r, r.compile(&rest)
}

func buildResponse(f *model.Filter) (any, error) {
	if f.ResponseHeaders == nil {
		return nil, nil
	}
	r := &response{}
	return r, r.compile(f.ResponseHeaders)
}

func (e *edit) compile(m *model.HeaderEdit) (err error) {
	if e.set, err = fields(m.Set); err != nil {
		return fmt.Errorf("set: %w", err)
	}
	if e.add, err = fields(m.Add); err != nil {
		return fmt.Errorf("add: %w", err)
	}
	for _, name := range m.Remove {
		k, err := key(name)
		if err != nil {
			return fmt.Errorf("remove: %w", err)
		}
		e.remove = append(e.remove, k)
	}
	return nil
}

func fields(ms []model.Field) ([]field, error) {
	var out []field
	for _, m := range ms {
		k, err := key(m.Name)
		if err == nil {
			err = filter.FieldValue(m.Name, m.Value)
		}
		if err != nil {
			return nil, err
		}
		out = append(out, field{k, m.Value})
	}
	return out, nil
}

func key(name string) (wire.Key, error) {
	k, err := filter.EditableField(name)
	if err == nil && k.ID == wire.Host {
		err = errHost
	}
	return k, err
}

func (e *edit) apply(h *wire.Head) {
	for i := range e.set {
		h.SetString(e.set[i].key, e.set[i].value)
	}
	for i := range e.add {
		h.AddString(e.add[i].key, e.add[i].value)
	}
	for i := range e.remove {
		h.Remove(e.remove[i])
	}
}

// OnRequest changes the request. Host is the authority, which no field holds.
func (r *request) OnRequest(x *filter.Exchange) filter.Verdict {
	if r.authority != nil {
		x.Request.Authority = r.authority
	}
	r.apply(&x.Request)
	return filter.Continue
}

// OnResponse changes the response.
func (r *response) OnResponse(x *filter.Exchange) { r.apply(&x.Response) }
