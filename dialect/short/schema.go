package short

import (
	"encoding/json"
	"reflect"
	"strings"
)

// Schema gives the JSON Schema (draft 2020-12) of the short form, for editors.
// It is made of the very types that documents are decoded into.
func Schema() ([]byte, error) {
	s := schemas{defs: map[string]any{}}
	top := s.object(reflect.TypeFor[form]())
	top["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	top["$id"] = "https://naru.dev/schema/short.json"
	top["title"] = "naru, short form"
	top["$defs"] = s.defs
	text, err := json.MarshalIndent(top, "", "  ")
	if err != nil {
		return nil, err
	}
	return append(text, '\n'), nil
}

// schemas makes schemas of types; those of structs come once, under $defs.
type schemas struct{ defs map[string]any }

type schema = map[string]any

// way is one way to write a value: a schema, and how the reference calls it.
type way struct {
	schema any
	name   string
}

func either(list ...any) schema { return schema{"anyOf": list} }

func list(of any) schema { return schema{"type": "array", "items": of, "minItems": 1} }

func byName(of any) schema { return schema{"type": "object", "additionalProperties": of} }

var (
	aText     = schema{"type": []string{"string", "number", "boolean"}}
	aString   = schema{"type": "string"}
	aBoolean  = schema{"type": "boolean"}
	aNumber   = schema{"type": "integer"}
	isOff     = schema{"const": off}
	aDuration = schema{"type": "string", "pattern": "^([0-9]+([.][0-9]+)?(ns|us|ms|s|m|h))+$"}
	aSize     = schema{"type": []string{"string", "integer"}, "pattern": "^[0-9]+([.][0-9]+)? ?([KMG]i?B?|kB|k|B)?$"}
)

// of is the schema of a type, and its name in the reference.
func (s *schemas) of(t reflect.Type) way {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch reflect.New(t).Interface().(type) {
	case *text, *hostname:
		return way{aText, "text"}
	case *words:
		return way{either(aText, list(aText)), "text, list"}
	case *span:
		return way{either(isOff, aDuration), "duration, off"}
	case *count:
		return way{either(isOff, schema{"type": "integer", "minimum": 1}), "number, off"}
	case *byteSize:
		return way{either(isOff, aSize), "size, off"}
	case *pairs:
		return way{byName(aText), "mapping of text"}
	case *codes:
		return way{either(aNumber, list(aNumber)), "number, list"}
	case *later:
		return way{schema{"not": schema{}}, "-"}
	case *conditions:
		return way{byName(either(aText, s.ref("condition", reflect.TypeFor[condition]()))), "mapping of text, condition"}
	case *bool:
		return way{aBoolean, "true, false"}
	case *int:
		return way{aNumber, "number"}
	case *float64:
		return way{schema{"type": "number"}, "number"}
	}
	return s.noun(t)
}

// noun is the schema of the types that have fields, and of their lists.
func (s *schemas) noun(t reflect.Type) way {
	item := func(name string, t reflect.Type, other ...any) any {
		return either(append(other, s.ref(name, t))...)
	}
	many := func(one any) any { return either(one, list(one)) }
	switch reflect.New(t).Interface().(type) {
	case *listens:
		return way{many(item("listen", reflect.TypeFor[listen](), aText)), "text, listen, list"}
	case *tlsKeys:
		return way{either(schema{"const": true}, many(item("keyPair", reflect.TypeFor[keyPair]()))), "keyPair, list, true"}
	case *routes:
		return way{schema{"type": "array", "items": s.ref("route", reflect.TypeFor[route]())}, "list of route"}
	case *services:
		return way{byName(either(many(item("endpoint", reflect.TypeFor[endpoint](), aString)), s.ref("service", reflect.TypeFor[service]()))),
			"mapping of text, list of endpoint, service"}
	case *matches:
		return way{many(item("match", reflect.TypeFor[match](), aString)), "text, match, list"}
	case *destinations:
		weights := byName(aNumber)
		return way{either(weights, many(item("destination", reflect.TypeFor[destination](), aString, weights))),
			"text, mapping of weights, list of destination"}
	case *mirrors:
		return way{many(item("mirror", reflect.TypeFor[mirror](), aString)), "text, mirror, list"}
	case *endpoints:
		return way{many(item("endpoint", reflect.TypeFor[endpoint](), aString)), "text, endpoint, list"}
	case *logging:
		return way{item("logging", t, schema{"enum": []string{off, "json", "text"}}), "text, logging"}
	case *redirect:
		return way{item("redirect", t, aString), "text, redirect"}
	case *respond:
		return way{item("respond", t, aString, aNumber), "number, text, respond"}
	case *rewrite:
		return way{item("rewrite", t, aString), "text, rewrite"}
	case *cors:
		return way{item("cors", t, aBoolean, aString, list(aString)), "true, text, list, cors"}
	case *timeouts:
		return way{item("timeouts", t, isOff, aDuration), "duration, timeouts"}
	case *retry:
		return way{item("retry", t, aNumber), "number, retry"}
	case *health:
		return way{item("health", t, aBoolean, aString), "text, true, health"}
	case *trust:
		return way{item("trust", t, aBoolean), "true, trust"}
	}
	return way{s.ref(t.Name(), t), t.Name()}
}

// ref refers to the schema of a struct, which it makes when it is first met.
func (s *schemas) ref(name string, t reflect.Type) any {
	if _, ok := s.defs[name]; !ok {
		s.defs[name] = nil // a type that holds itself ends here
		s.defs[name] = s.object(t)
	}
	return schema{"$ref": "#/$defs/" + name}
}

func (s *schemas) object(t reflect.Type) schema {
	fields := schema{}
	for i := range t.NumField() {
		f := t.Field(i)
		name := f.Tag.Get("json")
		if name == "" {
			continue
		}
		var of any = s.of(f.Type).schema
		if enum := f.Tag.Get("enum"); enum != "" {
			of = schema{"enum": enumOf(enum)}
		}
		fields[name] = schema{"description": describe(f.Tag), "allOf": []any{of}}
	}
	return schema{"type": "object", "additionalProperties": false, "properties": fields}
}

// enumOf lists the words of an enum tag; numbers may be written bare.
func enumOf(tag string) (all []any) {
	for _, word := range strings.Split(tag, ",") {
		all = append(all, word)
		if word[0] >= '0' && word[0] <= '9' {
			all = append(all, json.Number(word))
		}
	}
	return all
}

// describe puts a field's tags in one sentence.
func describe(tag reflect.StructTag) string {
	text := tag.Get("doc")
	if d := tag.Get("default"); d != "" {
		text += " (default: " + d + ")"
	}
	return text
}
