// Package respond answers from the configuration, without a service.
package respond

import (
	"fmt"

	"github.com/naru-mesh/naru/filter"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// Family builds direct responses.
func Family() filter.Family { return filter.Family{Name: "respond", Build: build} }

type respond struct {
	status int
	fields []field
	body   []byte
}

type field struct {
	key   wire.Key
	value string
}

// plainText is the type of a body whose type is not configured.
const plainText = "text/plain; charset=utf-8"

func build(f *model.Filter) (any, error) {
	m := f.Respond
	if m == nil {
		return nil, nil
	}
	if m.Status < 200 || m.Status > 599 {
		return nil, fmt.Errorf("status %d is not between 200 and 599", m.Status)
	}
	if m.Body != "" && !filter.HasContent(m.Status) {
		return nil, fmt.Errorf("a response with status %d cannot have a body", m.Status)
	}
	r := &respond{status: m.Status, body: []byte(m.Body)}
	typed := m.Body == ""
	for _, h := range m.Headers {
		k, err := filter.EditableField(h.Name)
		if err == nil {
			err = filter.FieldValue(h.Name, h.Value)
		}
		if err != nil {
			return nil, fmt.Errorf("headers: %w", err)
		}
		typed = typed || k.ID == wire.ContentType
		r.fields = append(r.fields, field{k, h.Value})
	}
	if !typed {
		r.fields = append(r.fields, field{wire.KeyContentType, plainText})
	}
	return r, nil
}

// OnRequest answers.
func (r *respond) OnRequest(x *filter.Exchange) filter.Verdict {
	v := x.Reply(observe.Responded, r.status, r.body)
	for i := range r.fields {
		x.Response.AddString(r.fields[i].key, r.fields[i].value)
	}
	return v
}
