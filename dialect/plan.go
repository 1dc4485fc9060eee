package dialect

import (
	"encoding"
	"encoding/json"
	"reflect"
	"strings"
	"sync"
	"time"

	"go.yaml.in/yaml/v3"
)

// plan says how values of one Go type are read. Plans are made once per type:
// looking at tags for each of 10,000 objects would cost more than reading them.
type plan struct {
	typ    reflect.Type
	read   func(*Decoder, *yaml.Node, reflect.Value, *plan)
	elem   *plan // of pointers, slices, arrays and maps
	key    func(*Decoder, *yaml.Node, reflect.Value) bool
	fields []fieldPlan
	names  []string // of the fields, in their order
	byName map[string]int
	habits map[string]string // hints for names of others, in their plain form
}

type fieldPlan struct {
	index []int
	plan  *plan
	some  bool // empty is a mistake
}

// plans remembers the plan of each type (reflect.Type to *plan). It only ever
// repeats what the types themselves say, so sharing it changes nothing.
var plans sync.Map

func planOf(t reflect.Type) *plan {
	if p, ok := plans.Load(t); ok {
		return p.(*plan)
	}
	made := map[reflect.Type]*plan{}
	p := makePlan(t, made)
	for t, p := range made {
		plans.LoadOrStore(t, p)
	}
	return p
}

var (
	nodeReaderType = reflect.TypeFor[NodeReader]()
	jsonType       = reflect.TypeFor[json.Unmarshaler]()
	textType       = reflect.TypeFor[encoding.TextUnmarshaler]()
	durationType   = reflect.TypeFor[time.Duration]()
)

// makePlan enters each plan into made before it is complete, because types
// may contain themselves.
func makePlan(t reflect.Type, made map[reflect.Type]*plan) *plan {
	if p, ok := plans.Load(t); ok {
		return p.(*plan)
	}
	if p := made[t]; p != nil {
		return p
	}
	p := &plan{typ: t}
	made[t] = p
	pointer := reflect.PointerTo(t)
	switch {
	case t.Kind() != reflect.Pointer && pointer.Implements(nodeReaderType):
		p.read = readNode
	case t == durationType:
		p.read = readDuration
	case t.Kind() != reflect.Pointer && pointer.Implements(jsonType):
		p.read = readJSON
	case t.Kind() != reflect.Pointer && pointer.Implements(textType):
		p.read = readText
	default:
		p.byKind(made)
	}
	return p
}

func (p *plan) byKind(made map[reflect.Type]*plan) {
	switch p.typ.Kind() {
	case reflect.String:
		p.read = readString
	case reflect.Bool:
		p.read = readBool
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		p.read = readInt
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		p.read = readUint
	case reflect.Float32, reflect.Float64:
		p.read = readFloat
	case reflect.Pointer:
		p.read, p.elem = readPointer, makePlan(p.typ.Elem(), made)
	case reflect.Slice:
		if p.typ.Elem().Kind() == reflect.Uint8 {
			p.read = readBytes
			return
		}
		p.read, p.elem = readSlice, makePlan(p.typ.Elem(), made)
	case reflect.Array:
		p.read, p.elem = readArray, makePlan(p.typ.Elem(), made)
	case reflect.Map:
		p.read, p.elem, p.key = readMap, makePlan(p.typ.Elem(), made), keyReader(p.typ.Key(), made)
	case reflect.Struct:
		p.read = readStruct
		p.byName = map[string]int{}
		p.addFields(p.typ, nil, made)
	case reflect.Interface:
		p.read = readAny
		if p.typ.NumMethod() > 0 {
			p.read = readNothing
		}
	default:
		p.read = readNothing
	}
}

// keyReader says how the keys of a map are made.
func keyReader(t reflect.Type, made map[reflect.Type]*plan) func(*Decoder, *yaml.Node, reflect.Value) bool {
	if t.Kind() == reflect.String && !reflect.PointerTo(t).Implements(textType) {
		return func(_ *Decoder, n *yaml.Node, v reflect.Value) bool {
			v.SetString(n.Value)
			return true
		}
	}
	p := makePlan(t, made)
	return func(in *Decoder, n *yaml.Node, v reflect.Value) bool {
		before := len(in.problems)
		in.value(n, v, p)
		return len(in.problems) == before
	}
}

// addFields follows encoding/json: unexported fields and "-" are left out,
// an embedded struct without a name of its own counts as if its fields stood
// here, and the outer of two fields with one name wins. A field with the tag
// empty:"wrong" narrows something down: a list without items, or what a template or
// a comment has left of one, would do the opposite.
func (p *plan) addFields(t reflect.Type, index []int, made map[reflect.Type]*plan) {
	var embedded []reflect.StructField
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" && options == "" {
			continue
		}
		inline := strings.Contains(options, "inline")
		if name == "" && (f.Anonymous || inline) {
			inner := f.Type
			if inner.Kind() == reflect.Pointer {
				inner = inner.Elem()
			}
			if inner.Kind() == reflect.Struct && (f.IsExported() || f.Type.Kind() == reflect.Struct) {
				embedded = append(embedded, f)
				continue
			}
		}
		p.addHabits(f, name)
		if !f.IsExported() {
			continue
		}
		if name == "" {
			name = f.Name
		}
		if _, have := p.byName[name]; have {
			continue
		}
		p.byName[name] = len(p.fields)
		p.names = append(p.names, name)
		p.fields = append(p.fields, fieldPlan{
			index: append(append([]int{}, index...), i),
			plan:  makePlan(f.Type, made),
			some:  f.Tag.Get("empty") == "wrong",
		})
	}
	for _, f := range embedded {
		inner := f.Type
		if inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		p.addFields(inner, append(append([]int{}, index...), f.Index...), made)
	}
}

// addHabits reads the tags also (names that people who know other systems
// write, with commas between) and hint (what they should write here; without
// it the field's own name). A field named _ may have them, too.
func (p *plan) addHabits(f reflect.StructField, name string) {
	also := f.Tag.Get("also")
	if also == "" {
		return
	}
	if p.habits == nil {
		p.habits = map[string]string{}
	}
	hint := f.Tag.Get("hint")
	if hint == "" {
		hint = "did you mean " + name + "?"
	}
	for _, word := range strings.Split(also, ",") {
		p.habits[plainName(word)] = hint
	}
}

// plainName brings strip_prefix, stripPrefix and strip-prefix to one form.
func plainName(s string) string {
	return strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(s))
}

func (p *plan) firstField() string {
	if len(p.names) == 0 {
		return "name"
	}
	return p.names[0]
}

// exampleOf is a value of a type, for hints.
func exampleOf(p *plan) string {
	switch p.typ.Kind() {
	case reflect.Bool:
		return "true"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "1"
	case reflect.Pointer:
		return exampleOf(p.elem)
	case reflect.String:
		return "text"
	}
	return "..."
}
