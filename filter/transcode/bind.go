package transcode

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

// bind makes the part of a request message that path and query say. The error
// is the client's mistake.
func (r *rule) bind(segments []string, query string) (*dynamicpb.Message, error) {
	m := dynamicpb.NewMessage(r.method.Input())
	values, err := r.template.values(segments)
	if err != nil {
		return nil, err
	}
	bound := map[string]bool{}
	for i, path := range r.fields {
		if err := set(m, path, values[i:i+1]); err != nil {
			return nil, err
		}
		bound[dotted(path)] = true
	}
	if r.whole || query == "" {
		return m, nil // the body says the rest
	}
	params, err := url.ParseQuery(query)
	if err != nil {
		return nil, fmt.Errorf("the query is malformed")
	}
	for name, list := range params {
		path, err := fieldPath(r.method.Input(), name)
		if err != nil {
			return nil, fmt.Errorf("the query parameter %s fits no field: %w", name, err)
		}
		switch at := dotted(path); {
		case bound[at]:
			return nil, fmt.Errorf("the query parameter %s is a part of the path already", name)
		case r.body != nil && path[0] == r.body:
			return nil, fmt.Errorf("the query parameter %s is a part of the body", name)
		default:
			bound[at] = true
		}
		if err := set(m, path, list); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func dotted(path []protoreflect.FieldDescriptor) string {
	var b strings.Builder
	for _, f := range path {
		b.WriteString(string(f.Name()) + ".")
	}
	return b.String()
}

// set fills the field at the end of a path from text: one value, or several
// for a repeated field.
func set(m protoreflect.Message, path []protoreflect.FieldDescriptor, values []string) error {
	for _, f := range path[:len(path)-1] {
		m = m.Mutable(f).Message()
	}
	f := path[len(path)-1]
	switch {
	case f.IsMap():
		return fmt.Errorf("%s is a map, which only a body can hold", f.FullName())
	case !f.IsList() && len(values) != 1:
		return fmt.Errorf("%s has %d values", f.FullName(), len(values))
	}
	items := make([]string, len(values))
	for i, v := range values {
		if !utf8.ValidString(v) {
			return fmt.Errorf("%s is not UTF-8", f.FullName())
		}
		items[i] = literal(f, v)
	}
	text := strings.Join(items, ",")
	if f.IsList() {
		text = "[" + text + "]"
	}
	// The JSON form knows every kind of scalar and the well-known types.
	part := dynamicpb.NewMessage(m.Descriptor())
	if err := protojson.Unmarshal([]byte(`{`+quote(f.JSONName())+`:`+text+`}`), part); err != nil {
		return fmt.Errorf("%s cannot be %s", f.FullName(), strings.Join(quoted(values), ", "))
	}
	proto.Merge(m.Interface(), part)
	return nil
}

// literal is the JSON value that text stands for in a field.
func literal(f protoreflect.FieldDescriptor, text string) string {
	kind := f.Kind()
	if kind == protoreflect.MessageKind {
		switch f.Message().FullName() {
		case "google.protobuf.BoolValue":
			kind = protoreflect.BoolKind
		case "google.protobuf.Value", "google.protobuf.Struct", "google.protobuf.ListValue":
			if json.Valid([]byte(text)) {
				return text
			}
		}
	}
	switch kind {
	case protoreflect.BoolKind:
		if text == "true" || text == "false" {
			return text
		}
	case protoreflect.EnumKind:
		if strings.Trim(text, "-0123456789") == "" && json.Valid([]byte(text)) {
			return text
		}
	}
	return quote(text)
}

func quote(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		return `""`
	}
	return string(b)
}

func quoted(list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = quote(s)
	}
	return out
}
