package link

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// The encoding. A struct is its fields that are not zero and a 0; a field is a
// key, its name where that is new to the message, and its value.
//
//	key     uvarint: name<<3 | type, where name is 1 for a new one (length and
//	        bytes follow), n+2 for the n-th that was spelled before
//	number  uvarint (also bool); integer: zigzag varint; float: 8 bytes
//	bytes   uvarint length, bytes (also text)
//	list    uvarint count, a byte with the type of the elements, elements
//	table   uvarint count, a byte with the type of the values, (text, value)...
//
// Names cost little because each is spelled once, and they let two versions of
// naru understand each other: what one does not know it skips. Equal values
// have equal encodings.
const (
	typeEnd uint64 = iota
	typeNumber
	typeInteger
	typeFloat
	typeBytes
	typeStruct
	typeList
	typeTable
)

// Bounds of what is decoded.
const (
	deepestValue = 32
	// mostDecoded bounds the memory of what one message becomes.
	mostDecoded = 64 << 20
)

// errMalformed is wrapped by every error of decode.
var errMalformed = errors.New("malformed")

// shape is how a Go type is written. Shapes are made once, at start-up.
type shape struct {
	wire   uint64
	of     reflect.Type
	elem   *shape // of lists, tables and pointers
	fields []fieldShape
	byName map[string]int
}

type fieldShape struct {
	name  string
	index int
	*shape
}

// shapes of the types that travel; read only.
var shapes = shapesOf(
	nouns[KindMesh], nouns[KindService], nouns[KindWorkload], nouns[KindPolicy], nouns[KindRoute], nouns[KindFlow], nouns[KindListener], nouns[KindCertificate], nouns[KindTraffic],
	reflect.TypeFor[ask](), reflect.TypeFor[head](), reflect.TypeFor[joinRequest](), reflect.TypeFor[joinResponse](),
	reflect.TypeFor[signRequest](), reflect.TypeFor[signResponse](), reflect.TypeFor[registerRequest](), reflect.TypeFor[reportResponse](), reflect.TypeFor[settleRequest](), reflect.TypeFor[empty](),
	reflect.TypeFor[savedState](), reflect.TypeFor[savedNode](),
)

func shapesOf(list ...reflect.Type) map[reflect.Type]*shape {
	all := map[reflect.Type]*shape{}
	for _, t := range list {
		shapeOf(all, t)
	}
	return all
}

func shapeOf(all map[reflect.Type]*shape, t reflect.Type) *shape {
	if s, ok := all[t]; ok {
		return s
	}
	s := &shape{of: t}
	all[t] = s
	switch t.Kind() {
	case reflect.Bool, reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		s.wire = typeNumber
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		s.wire = typeInteger
	case reflect.Float32, reflect.Float64:
		s.wire = typeFloat
	case reflect.String:
		s.wire = typeBytes
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			s.wire = typeBytes
			break
		}
		s.wire, s.elem = typeList, shapeOf(all, t.Elem())
	case reflect.Map:
		s.wire, s.elem = typeTable, shapeOf(all, t.Elem())
	case reflect.Pointer:
		s.elem = shapeOf(all, t.Elem())
		s.wire = s.elem.wire
	case reflect.Struct:
		s.wire, s.byName = typeStruct, map[string]int{}
		for i := range t.NumField() {
			f := t.Field(i)
			if !f.IsExported() {
				continue
			}
			s.byName[f.Name] = len(s.fields)
			s.fields = append(s.fields, fieldShape{f.Name, i, shapeOf(all, f.Type)})
		}
	}
	if s.wire == typeEnd {
		// At start-up, before anything is served; a test walks every noun.
		panic("link: a " + t.String() + " cannot be sent")
	}
	return s
}

type encoder struct {
	out   []byte
	names map[string]uint64
}

// encode appends the struct that p points at.
func encode(out []byte, p any) []byte {
	v := reflect.ValueOf(p).Elem()
	e := encoder{out: out, names: make(map[string]uint64, 16)}
	e.value(v, shapes[v.Type()])
	return e.out
}

func (e *encoder) number(n uint64) { e.out = binary.AppendUvarint(e.out, n) }

func (e *encoder) value(v reflect.Value, s *shape) {
	switch s.of.Kind() {
	case reflect.Bool:
		if v.Bool() {
			e.number(1)
		} else {
			e.number(0)
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		e.number(v.Uint())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		e.out = binary.AppendVarint(e.out, v.Int())
	case reflect.Float32, reflect.Float64:
		e.out = binary.LittleEndian.AppendUint64(e.out, math.Float64bits(v.Float()))
	case reflect.String:
		e.number(uint64(v.Len()))
		e.out = append(e.out, v.String()...)
	case reflect.Slice:
		e.number(uint64(v.Len()))
		if s.wire == typeBytes {
			e.out = append(e.out, v.Bytes()...)
			return
		}
		e.out = append(e.out, byte(s.elem.wire))
		for i := range v.Len() {
			e.value(v.Index(i), s.elem)
		}
	case reflect.Map:
		e.number(uint64(v.Len()))
		e.out = append(e.out, byte(s.elem.wire))
		keys := make(map[string]reflect.Value, v.Len())
		for i := v.MapRange(); i.Next(); {
			keys[i.Key().String()] = i.Value()
		}
		for _, k := range slices.Sorted(maps.Keys(keys)) {
			e.number(uint64(len(k)))
			e.out = append(e.out, k...)
			e.value(keys[k], s.elem)
		}
	case reflect.Pointer:
		if v.IsNil() {
			v = reflect.New(s.of.Elem())
		}
		e.value(v.Elem(), s.elem)
	case reflect.Struct:
		for i := range s.fields {
			f := &s.fields[i]
			x := v.Field(f.index)
			if k := x.Kind(); x.IsZero() || (k == reflect.Slice || k == reflect.Map) && x.Len() == 0 {
				continue
			}
			if n, ok := e.names[f.name]; ok {
				e.number(n<<3 | f.wire)
			} else {
				e.names[f.name] = uint64(len(e.names)) + 2
				e.number(1<<3 | f.wire)
				e.number(uint64(len(f.name)))
				e.out = append(e.out, f.name...)
			}
			e.value(x, f.shape)
		}
		e.out = append(e.out, 0)
	}
}

type decoder struct {
	in    string // text of the result is part of it: one allocation a message
	names []string
	left  int
}

// decode reads what encode wrote into the struct that p points at, which is
// zero before. Its error says which field is wrong.
func decode(in string, p any) error {
	v := reflect.ValueOf(p).Elem()
	d := decoder{in: in, left: mostDecoded}
	if err := d.value(v, shapes[v.Type()], 0); err != nil {
		return err
	}
	if d.in != "" {
		return fmt.Errorf("%w: %d bytes too many", errMalformed, len(d.in))
	}
	return nil
}

// fieldError is a mistake inside a message, with the way to it.
type fieldError struct {
	path string // "endpoints[2].port"
	why  string
}

func (e *fieldError) Error() string { return "malformed: " + e.path + ": " + e.why }
func (e *fieldError) Unwrap() error { return errMalformed }

func wrong(why string) error { return &fieldError{why: why} }

// inside puts a step before the path of err.
func inside(step string, err error) error {
	var f *fieldError
	if !errors.As(err, &f) {
		return err
	}
	sep := "."
	if f.path == "" || f.path[0] == '[' {
		sep = ""
	}
	return &fieldError{step + sep + f.path, f.why}
}

var errShort = wrong("it ends too early")

func (d *decoder) number() (uint64, error) {
	var n uint64
	for i := 0; i < len(d.in) && i < binary.MaxVarintLen64; i++ {
		c := d.in[i]
		if i == binary.MaxVarintLen64-1 && c > 1 {
			return 0, wrong("a number is too large")
		}
		n |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			d.in = d.in[i+1:]
			return n, nil
		}
	}
	return 0, errShort
}

func (d *decoder) text() (string, error) {
	n, err := d.number()
	if err != nil || n > uint64(len(d.in)) {
		return "", errShort
	}
	s := d.in[:n]
	d.in = d.in[n:]
	return s, nil
}

// count reads the head of a list or table of elements of size bytes each.
func (d *decoder) count(size int) (n int, wire uint64, err error) {
	long, err := d.number()
	// An element takes a byte at least.
	if err != nil || len(d.in) == 0 || long > uint64(len(d.in)-1) {
		return 0, 0, errShort
	}
	if d.left -= int(long) * size; d.left < 0 {
		return 0, 0, wrong("it is too large")
	}
	wire = uint64(d.in[0])
	d.in = d.in[1:]
	return int(long), wire, nil
}

// field reads a key: 0 and "" at the end of a struct.
func (d *decoder) field() (name string, wire uint64, err error) {
	key, err := d.number()
	switch n := key >> 3; {
	case err != nil || key == 0:
		return "", typeEnd, err
	case n == 1:
		if name, err = d.text(); err != nil {
			return "", 0, err
		}
		d.names = append(d.names, name)
	case n < 2 || n-2 >= uint64(len(d.names)):
		return "", 0, wrong("a name is not known")
	default:
		name = d.names[n-2]
	}
	return name, key & 7, nil
}

func (d *decoder) value(v reflect.Value, s *shape, depth int) error {
	if depth > deepestValue {
		return wrong("it is nested too deep")
	}
	switch s.of.Kind() {
	case reflect.Bool:
		n, err := d.number()
		if err == nil && n > 1 {
			err = wrong(strconv.FormatUint(n, 10) + " is neither true nor false")
		}
		v.SetBool(n == 1)
		return err
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		n, err := d.number()
		if err == nil && v.OverflowUint(n) {
			err = wrong(strconv.FormatUint(n, 10) + " is too large")
		}
		v.SetUint(n)
		return err
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		u, err := d.number()
		n := int64(u>>1) ^ -int64(u&1)
		if err == nil && v.OverflowInt(n) {
			err = wrong(strconv.FormatInt(n, 10) + " is too large")
		}
		v.SetInt(n)
		return err
	case reflect.Float32, reflect.Float64:
		if len(d.in) < 8 {
			return errShort
		}
		v.SetFloat(math.Float64frombits(binary.LittleEndian.Uint64([]byte(d.in[:8]))))
		d.in = d.in[8:]
		return nil
	case reflect.String:
		text, err := d.text()
		v.SetString(text)
		return err
	case reflect.Slice:
		return d.list(v, s, depth)
	case reflect.Map:
		return d.table(v, s, depth)
	case reflect.Pointer:
		if d.left -= int(s.of.Elem().Size()); d.left < 0 {
			return wrong("it is too large")
		}
		v.Set(reflect.New(s.of.Elem()))
		return d.value(v.Elem(), s.elem, depth)
	default:
		return d.fields(v, s, depth)
	}
}

func (d *decoder) fields(v reflect.Value, s *shape, depth int) error {
	for {
		name, wire, err := d.field()
		if err != nil {
			return err
		}
		if wire == typeEnd {
			return nil
		}
		i, known := s.byName[name]
		switch {
		case !known:
			err = d.skip(wire, depth+1)
		case s.fields[i].wire != wire:
			err = wrong("it is of another type than here")
		default:
			err = d.value(v.Field(s.fields[i].index), s.fields[i].shape, depth+1)
		}
		if err != nil {
			return inside(strings.ToLower(name[:min(1, len(name))])+name[min(1, len(name)):], err)
		}
	}
}

func (d *decoder) list(v reflect.Value, s *shape, depth int) error {
	if s.wire == typeBytes {
		text, err := d.text()
		v.SetBytes([]byte(text))
		return err
	}
	n, wire, err := d.count(int(s.elem.of.Size()))
	if err != nil {
		return err
	}
	if n > 0 && wire != s.elem.wire {
		return wrong("it is a list of another type than here")
	}
	v.Set(reflect.MakeSlice(s.of, n, n))
	for i := range n {
		if err := d.value(v.Index(i), s.elem, depth+1); err != nil {
			return inside("["+strconv.Itoa(i)+"]", err)
		}
	}
	return nil
}

func (d *decoder) table(v reflect.Value, s *shape, depth int) error {
	n, wire, err := d.count(int(s.elem.of.Size()) + 64)
	if err != nil {
		return err
	}
	if n > 0 && wire != s.elem.wire {
		return wrong("it is a table of another type than here")
	}
	v.Set(reflect.MakeMapWithSize(s.of, n))
	for range n {
		key, err := d.text()
		if err != nil {
			return err
		}
		x := reflect.New(s.elem.of).Elem()
		if err := d.value(x, s.elem, depth+1); err != nil {
			return inside("["+strconv.Quote(key)+"]", err)
		}
		v.SetMapIndex(reflect.ValueOf(key).Convert(s.of.Key()), x)
	}
	return nil
}

// skip passes over a value that is not known here; names in it are learned.
func (d *decoder) skip(wire uint64, depth int) error {
	if depth > deepestValue {
		return wrong("it is nested too deep")
	}
	switch wire {
	case typeNumber, typeInteger:
		_, err := d.number()
		return err
	case typeFloat:
		if len(d.in) < 8 {
			return errShort
		}
		d.in = d.in[8:]
		return nil
	case typeBytes:
		_, err := d.text()
		return err
	case typeStruct:
		for {
			_, wire, err := d.field()
			if err != nil || wire == typeEnd {
				return err
			}
			if err := d.skip(wire, depth+1); err != nil {
				return err
			}
		}
	case typeList, typeTable:
		n, elem, err := d.count(0)
		for i := 0; i < n && err == nil; i++ {
			if wire == typeTable {
				if _, err = d.text(); err != nil {
					return err
				}
			}
			err = d.skip(elem, depth+1)
		}
		return err
	}
	return wrong("a value is of no known type")
}
