package native

import (
	_ "embed"
	"encoding/json"
	"reflect"
	"strings"

	"github.com/naru-mesh/naru/dialect"
)

type section struct {
	title string
	typ   reflect.Type
}

// objects are the kinds, and parts what their specs are made of.
func objects() []section {
	return []section{
		{"Mesh", reflect.TypeFor[meshSpec]()},
		{"Workload", reflect.TypeFor[workloadSpec]()},
		{"Service", reflect.TypeFor[serviceSpec]()},
		{"TrafficPolicy", reflect.TypeFor[policySpec]()},
	}
}

func parts() []section {
	return []section{
		{"federation", reflect.TypeFor[federation]()},
		{"workloadPort", reflect.TypeFor[workloadPort]()},
		{"endpoint", reflect.TypeFor[endpoint]()},
		{"tls", reflect.TypeFor[tls]()},
		{"targetRef", reflect.TypeFor[targetRef]()},
		{"authorization", reflect.TypeFor[authorization]()},
		{"rule", reflect.TypeFor[rule]()},
		{"from", reflect.TypeFor[from]()},
		{"to", reflect.TypeFor[to]()},
		{"when", reflect.TypeFor[when]()},
		{"header", reflect.TypeFor[header]()},
	}
}

func newSchemas() *dialect.Schemas {
	s := &dialect.Schemas{Defs: map[string]any{}}
	s.Of = func(t reflect.Type) dialect.Way { return of(s, t) }
	return s
}

// of is the schema of a type, and its name in the reference.
func of(s *dialect.Schemas, t reflect.Type) dialect.Way {
	switch t.Kind() {
	case reflect.Pointer:
		return of(s, t.Elem())
	case reflect.String:
		return dialect.Way{Schema: dialect.Schema{"type": "string"}, Name: "text"}
	case reflect.Bool:
		return dialect.Way{Schema: dialect.Schema{"type": "boolean"}, Name: "true, false"}
	case reflect.Int, reflect.Int64:
		return dialect.Way{Schema: dialect.Schema{"type": "integer"}, Name: "number"}
	case reflect.Slice:
		one := of(s, t.Elem())
		return dialect.Way{Schema: dialect.Schema{"type": "array", "items": one.Schema}, Name: "list of " + one.Name}
	case reflect.Map:
		one := of(s, t.Elem())
		return dialect.Way{Schema: dialect.MappingOf(one.Schema), Name: "mapping of " + one.Name}
	case reflect.Struct:
		if t == reflect.TypeFor[elsewhere]() {
			return dialect.Way{Schema: dialect.Schema{}, Name: "see gateway-api.md"}
		}
		return dialect.Way{Schema: s.Ref(t.Name(), t), Name: t.Name()}
	default:
		return dialect.Way{Schema: dialect.Schema{}, Name: "anything"}
	}
}

// Schema gives the JSON Schema (draft 2020-12) of the kinds, for editors. It is
// made of the very types that documents are decoded into.
func Schema() ([]byte, error) {
	s := newSchemas()
	var kinds []any
	for _, o := range objects() {
		head := s.Object(reflect.TypeFor[object]())
		fields := head["properties"].(dialect.Schema)
		fields["apiVersion"] = dialect.Schema{"const": Group + "/" + Version}
		fields["kind"] = dialect.Schema{"const": o.title}
		fields["spec"] = s.Ref(o.typ.Name(), o.typ)
		head["required"] = []string{"apiVersion", "kind", "metadata"}
		kinds = append(kinds, head)
	}
	text, err := json.MarshalIndent(dialect.Schema{
		"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "https://naru.dev/schema/kinds.json",
		"title": "naru, its own kinds", "anyOf": kinds, "$defs": s.Defs,
	}, "", "  ")
	if err != nil {
		return nil, err
	}
	return append(text, '\n'), nil
}

// intro is how the page begins.
//
//go:embed reference.md
var intro string

// Reference gives a page in Markdown with every field: name, type, default,
// unit and meaning.
func Reference() []byte {
	s := newSchemas()
	var b strings.Builder
	b.WriteString(intro)
	for _, o := range objects() {
		b.WriteString(s.Table(o.title, o.typ))
	}
	for _, p := range parts() {
		b.WriteString(s.Table(p.title, p.typ))
	}
	return []byte(b.String())
}
