package dialect

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
)

// Schemas describe the structs that documents are decoded into, to editors as
// JSON Schema (draft 2020-12) and to people as tables. What they say stands in
// the tags of the fields: json is the name, doc the meaning; default, unit and
// enum (words with commas between) are what they say.
type Schemas struct {
	// Defs are the schemas of structs, by the names under which Ref was asked
	// for them.
	Defs map[string]any
	// Of knows the types of fields.
	Of func(reflect.Type) Way
}

// Schema is one in JSON.
type Schema = map[string]any

// Way is how a value is written: its schema, and what people call it.
type Way struct {
	Schema any
	Name   string
}

// EitherOf is a value that one of the schemas describes.
func EitherOf(list ...any) Schema { return Schema{"anyOf": list} }

// ListOf is a list of at least one.
func ListOf(one any) Schema { return Schema{"type": "array", "items": one, "minItems": 1} }

// MappingOf is any names with a value each.
func MappingOf(one any) Schema { return Schema{"type": "object", "additionalProperties": one} }

// Ref refers to the schema of a struct, which it makes when it is first met.
func (s *Schemas) Ref(name string, t reflect.Type) any {
	if _, ok := s.Defs[name]; !ok {
		s.Defs[name] = nil // a type that holds itself ends here
		s.Defs[name] = s.Object(t)
	}
	return Schema{"$ref": "#/$defs/" + name}
}

// Object is the schema of a struct.
func (s *Schemas) Object(t reflect.Type) Schema {
	fields := Schema{}
	for i := range t.NumField() {
		f := t.Field(i)
		name := f.Tag.Get("json")
		if name == "" {
			continue
		}
		of := s.Of(f.Type).Schema
		if enum := f.Tag.Get("enum"); enum != "" {
			of = Schema{"enum": enumOf(enum)}
		}
		fields[name] = Schema{"description": sentence(f.Tag), "allOf": []any{of}}
	}
	return Schema{"type": "object", "additionalProperties": false, "properties": fields}
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

// sentence puts a field's tags in one.
func sentence(tag reflect.StructTag) string {
	text := tag.Get("doc")
	if d := tag.Get("default"); d != "" {
		text += " (default: " + d + ")"
	}
	return text
}

// Table is the section of a struct in a reference page, in Markdown.
func (s *Schemas) Table(title string, t reflect.Type) string {
	var b strings.Builder
	fmt.Fprintf(&b, "## %s\n\n| field | type | default | unit | meaning |\n|---|---|---|---|---|\n", title)
	for i := range t.NumField() {
		f := t.Field(i)
		name := f.Tag.Get("json")
		if name == "" {
			continue
		}
		meaning := f.Tag.Get("doc")
		if enum := f.Tag.Get("enum"); enum != "" {
			meaning += ": " + strings.ReplaceAll(enum, ",", ", ")
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", name, s.Of(f.Type).Name, cell(f.Tag.Get("default")), cell(f.Tag.Get("unit")), meaning)
	}
	b.WriteString("\n")
	return b.String()
}

// cell fills an empty cell, and keeps Markdown from reading * as emphasis.
func cell(s string) string {
	if s == "" {
		return "–"
	}
	return strings.ReplaceAll(s, "*", "\\*")
}
