package dialect

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/naru-mesh/naru/model"
)

// Decoder fills Go values from nodes and collects what is wrong with them.
// It remembers the field path on its way, so that a Problem can name it.
// One goroutine.
type Decoder struct {
	doc      *Document
	base     string
	trail    []step
	problems []model.Problem
	broken   int
}

// step is one level of a field path: a name, or an index when name is "".
type step struct {
	name  string
	index int
}

// NodeReader is implemented by (pointers to) types that people may write in
// more than one way. ReadNode is called instead of the usual decoding, never
// with null.
type NodeReader interface {
	ReadNode(in *Decoder, n *yaml.Node)
}

// Decoder begins a decoding at a field path of the document, "" for the root.
func (d *Document) Decoder(path string) *Decoder {
	return &Decoder{doc: d, base: path}
}

// Problems are those found until now.
func (in *Decoder) Problems() []model.Problem { return in.problems }

// Into decodes n into a pointer. See Document.Decode.
func (in *Decoder) Into(n *yaml.Node, into any) {
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return
	}
	in.value(n, v.Elem(), planOf(v.Type().Elem()))
}

// Field decodes the value of a field, one level below where the Decoder is.
func (in *Decoder) Field(name string, n *yaml.Node, into any) {
	in.enter(name)
	in.Into(n, into)
	in.leave()
}

// Item decodes an item of a list, one level below where the Decoder is.
func (in *Decoder) Item(index int, n *yaml.Node, into any) {
	in.enterItem(index)
	in.Into(n, into)
	in.leave()
}

// Broken counts the Problems until now that take something out of service.
func (in *Decoder) Broken() int { return in.broken }

// Problem notes a mistake at a node.
func (in *Decoder) Problem(n *yaml.Node, code, message, hint string) {
	in.broken++
	in.problems = append(in.problems, in.doc.Problem(n, in.Path(), code, message, hint))
}

// Doubt notes at a node what serves, but probably not as it is meant.
func (in *Decoder) Doubt(n *yaml.Node, code, message, hint string) {
	p := in.doc.Problem(n, in.Path(), code, message, hint)
	p.Severity = model.Doubtful
	in.problems = append(in.problems, p)
}

// Wrong notes that a node must be something else than it is: want says what
// ("a path"), and example how it is written, with NAME for the field's name.
func (in *Decoder) Wrong(n *yaml.Node, want, example string) { in.wrong(n, want, example) }

// Pairs walks a mapping in its order and refuses a name that comes twice. The
// Decoder is inside the field while f runs. example is that of Wrong.
func (in *Decoder) Pairs(n *yaml.Node, example string, f func(key, value *yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		in.wrong(n, "a mapping", example)
		return
	}
	seen := make(map[string]*yaml.Node, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		in.enter(key.Value)
		if first := seen[key.Value]; first != nil {
			in.duplicate(key, first)
		} else {
			seen[key.Value] = key
			f(key, n.Content[i+1])
		}
		in.leave()
	}
}

// Enter goes one level down, into a field, until Leave. Field does this around
// one decoding.
func (in *Decoder) Enter(name string) { in.enter(name) }

// EnterItem goes one level down, into an item of a list, until Leave.
func (in *Decoder) EnterItem(index int) { in.enterItem(index) }

// Leave goes back up.
func (in *Decoder) Leave() { in.leave() }

// Origin is the place of a node under the path where the Decoder is.
func (in *Decoder) Origin(n *yaml.Node) model.Origin {
	return in.doc.Origin(n, in.Path())
}

// Path is the field path where the Decoder is.
func (in *Decoder) Path() string {
	var b strings.Builder
	b.WriteString(in.base)
	for _, s := range in.trail {
		switch {
		case s.name == "":
			b.WriteByte('[')
			b.WriteString(strconv.Itoa(s.index))
			b.WriteByte(']')
		case strings.ContainsAny(s.name, `.[]"`):
			b.WriteByte('[')
			b.WriteString(strconv.Quote(s.name))
			b.WriteByte(']')
		default:
			if b.Len() > 0 {
				b.WriteByte('.')
			}
			b.WriteString(s.name)
		}
	}
	return b.String()
}

// name is what a message calls the value: its field, with its indexes.
func (in *Decoder) name() string {
	from := len(in.trail)
	for from > 0 {
		from--
		if in.trail[from].name != "" {
			break
		}
	}
	short := Decoder{trail: in.trail[from:]}
	if from == 0 && (len(in.trail) == 0 || in.trail[0].name == "") {
		base := in.base
		if i := strings.LastIndexByte(base, '.'); i >= 0 {
			base = base[i+1:]
		}
		short.base = base
	}
	name := short.Path()
	if from < len(in.trail) && in.trail[from].name != "" && strings.HasPrefix(name, "[") {
		_, rest, _ := strings.Cut(name[len(strconv.Quote(in.trail[from].name)):], "]")
		name = in.trail[from].name + rest
	}
	if name == "" {
		return "the document"
	}
	return name
}

func (in *Decoder) enter(name string)   { in.trail = append(in.trail, step{name: name}) }
func (in *Decoder) enterItem(index int) { in.trail = append(in.trail, step{index: index}) }
func (in *Decoder) leave()              { in.trail = in.trail[:len(in.trail)-1] }

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// isEmpty says whether nothing stands there: null, "", or no items.
func isEmpty(n *yaml.Node) bool {
	return isNull(n) || len(n.Content) == 0 && (n.Kind != yaml.ScalarNode || n.Value == "")
}

func (in *Decoder) value(n *yaml.Node, v reflect.Value, p *plan) {
	if n == nil || isNull(n) {
		return
	}
	p.read(in, n, v, p)
}

// wrong notes that a node is not of the type that is wanted.
func (in *Decoder) wrong(n *yaml.Node, want, example string) {
	name := in.name()
	hint := ""
	if example != "" {
		if strings.HasSuffix(name, "]") { // an item has no name of its own
			example = strings.TrimPrefix(example, "NAME: ")
		}
		hint = "for example " + strings.ReplaceAll(example, "NAME", lastName(name))
	}
	in.Problem(n, "bad-value", fmt.Sprintf("%s must be %s, not %s", name, want, describe(n)), hint)
}

// lastName is the bare field of a name with indexes, for examples.
func lastName(name string) string {
	if i := strings.IndexByte(name, '['); i > 0 {
		return name[:i]
	}
	if name == "the document" || strings.HasPrefix(name, "[") {
		return "name"
	}
	return name
}

// Each kind of Go type has one way to be read; planOf chooses it.

func readPointer(in *Decoder, n *yaml.Node, v reflect.Value, p *plan) {
	if v.IsNil() {
		v.Set(reflect.New(p.typ.Elem()))
	}
	in.value(n, v.Elem(), p.elem)
}

func readStruct(in *Decoder, n *yaml.Node, v reflect.Value, p *plan) {
	if n.Kind != yaml.MappingNode {
		in.wrong(n, "a mapping of fields", "NAME: {"+p.firstField()+": ...}")
		return
	}
	var few [16]*yaml.Node // keeps the usual struct off the heap
	seen := few[:]
	if len(p.fields) > len(few) {
		seen = make([]*yaml.Node, len(p.fields))
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		at, known := p.byName[key.Value]
		in.enter(key.Value)
		switch {
		case !known:
			hint := p.habits[plainName(key.Value)]
			if hint == "" {
				hint = DidYouMean(key.Value, p.names, "fields")
			}
			in.Problem(key, "unknown-field", "there is no field "+clip(key.Value)+" here", hint)
		case seen[at] != nil:
			in.duplicate(key, seen[at])
		default:
			seen[at] = key
			f := &p.fields[at]
			if f.some && isEmpty(n.Content[i+1]) {
				in.Problem(key, "bad-value", key.Value+" is empty, and would narrow nothing down", "write what it may be, or leave "+key.Value+" out")
			}
			in.value(n.Content[i+1], fieldOf(v, f.index), f.plan)
		}
		in.leave()
	}
}

func (in *Decoder) duplicate(key, first *yaml.Node) {
	line := in.doc.Origin(first, "").Line
	in.Problem(key, "duplicate-field", key.Value+" is written twice",
		fmt.Sprintf("the first is on line %d", line))
}

// fieldOf walks to a field, making embedded pointers on the way.
func fieldOf(v reflect.Value, index []int) reflect.Value {
	for _, i := range index {
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				v.Set(reflect.New(v.Type().Elem()))
			}
			v = v.Elem()
		}
		v = v.Field(i)
	}
	return v
}

func readSlice(in *Decoder, n *yaml.Node, v reflect.Value, p *plan) {
	if n.Kind != yaml.SequenceNode {
		in.wrong(n, "a list", "NAME: ["+exampleOf(p.elem)+"]")
		return
	}
	list := reflect.MakeSlice(p.typ, len(n.Content), len(n.Content))
	for i, c := range n.Content {
		in.enterItem(i)
		in.value(c, list.Index(i), p.elem)
		in.leave()
	}
	v.Set(list)
}

func readArray(in *Decoder, n *yaml.Node, v reflect.Value, p *plan) {
	if n.Kind != yaml.SequenceNode || len(n.Content) != v.Len() {
		in.wrong(n, fmt.Sprintf("a list of %d items", v.Len()), "")
		return
	}
	for i, c := range n.Content {
		in.enterItem(i)
		in.value(c, v.Index(i), p.elem)
		in.leave()
	}
}

func readMap(in *Decoder, n *yaml.Node, v reflect.Value, p *plan) {
	if n.Kind != yaml.MappingNode {
		in.wrong(n, "a mapping", "NAME: {key: "+exampleOf(p.elem)+"}")
		return
	}
	m := reflect.MakeMapWithSize(p.typ, len(n.Content)/2)
	first := make(map[string]*yaml.Node, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		in.enter(key.Value)
		if was := first[key.Value]; was != nil {
			in.duplicate(key, was)
		} else {
			first[key.Value] = key
			k := reflect.New(p.typ.Key()).Elem()
			if p.key(in, key, k) {
				item := reflect.New(p.typ.Elem()).Elem()
				in.value(n.Content[i+1], item, p.elem)
				m.SetMapIndex(k, item)
			}
		}
		in.leave()
	}
	v.Set(m)
}

// readAny makes what encoding/json would: map[string]any, []any, string,
// bool, int64 and float64.
func readAny(in *Decoder, n *yaml.Node, v reflect.Value, _ *plan) {
	if x := in.plain(n); x != nil {
		v.Set(reflect.ValueOf(x))
	}
}

func (in *Decoder) plain(n *yaml.Node) any {
	switch n.Kind {
	case yaml.MappingNode:
		m := make(map[string]any, len(n.Content)/2)
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i]
			in.enter(key.Value)
			if _, twice := m[key.Value]; twice {
				in.Problem(key, "duplicate-field", key.Value+" is written twice", "")
			} else {
				m[key.Value] = in.plain(n.Content[i+1])
			}
			in.leave()
		}
		return m
	case yaml.SequenceNode:
		list := make([]any, len(n.Content))
		for i, c := range n.Content {
			in.enterItem(i)
			list[i] = in.plain(c)
			in.leave()
		}
		return list
	}
	switch n.Tag {
	case "!!null":
		return nil
	case "!!bool":
		return isTrue(n.Value)
	case "!!int":
		if i, err := parseInt(n.Value, 64); err == nil {
			return i
		}
		fallthrough
	case "!!float":
		if f, ok := parseFloat(n.Value); ok {
			return f
		}
	}
	return n.Value
}
