package link

import (
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/naru-mesh/naru/model"
)

// TestEveryFieldSurvives sets each field of each noun, one at a time and then
// all together, and sees that it arrives: nobody can add one that does not.
func TestEveryFieldSurvives(t *testing.T) {
	t.Parallel()
	fields := 0
	for k := Kind(1); k < kinds; k++ {
		noun := reflect.New(nouns[k])
		check := func(path string) {
			fields++
			body := encode(nil, noun.Interface())
			back := reflect.New(nouns[k])
			if err := decode(string(body), back.Interface()); err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			if !reflect.DeepEqual(noun.Interface(), back.Interface()) {
				t.Errorf("%s is lost: %+v, then %+v", path, noun.Elem(), back.Elem())
			}
			if again := encode(nil, back.Interface()); string(again) != string(body) {
				t.Errorf("%s: the same is written in two ways", path)
			}
		}
		var walk func(path string, v reflect.Value, all bool)
		walk = func(path string, v reflect.Value, all bool) {
			old := reflect.New(v.Type()).Elem()
			old.Set(v)
			see := func() {
				if !all {
					check(path)
				}
			}
			switch v.Kind() {
			case reflect.Struct:
				for i := range v.NumField() {
					walk(path+"."+v.Type().Field(i).Name, v.Field(i), all)
				}
			case reflect.Pointer:
				v.Set(reflect.New(v.Type().Elem()))
				see()
				walk(path, v.Elem(), all)
			case reflect.Slice:
				v.Set(reflect.MakeSlice(v.Type(), 2, 2))
				for i := range 2 {
					if e := v.Index(i); e.Kind() == reflect.Pointer {
						e.Set(reflect.New(e.Type().Elem()))
					}
				}
				see()
				walk(path+"[0]", v.Index(0), all)
				walk(path+"[1]", v.Index(1), all)
			case reflect.Map:
				v.Set(reflect.MakeMap(v.Type()))
				x := reflect.New(v.Type().Elem()).Elem()
				walk(path+"[x]", x, true)
				v.SetMapIndex(reflect.ValueOf("x").Convert(v.Type().Key()), x)
				see()
			case reflect.String:
				v.SetString("x")
				see()
			case reflect.Int, reflect.Int64, reflect.Int32:
				v.SetInt(-7)
				see()
			case reflect.Float64:
				v.SetFloat(math.Pi)
				see()
			case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
				v.SetUint(200)
				see()
			case reflect.Bool:
				v.SetBool(true)
				see()
			default:
				t.Errorf("%s is a %v, which is not sent", path, v.Kind())
			}
			if !all {
				v.Set(old)
			}
		}
		walk(k.String(), noun.Elem(), false)
		walk(k.String(), noun.Elem(), true)
		check(k.String() + " with everything")
	}
	if fields < 200 {
		t.Errorf("only %d fields were seen", fields)
	}
}

func TestHiddenFieldsTravel(t *testing.T) {
	t.Parallel()
	in := &model.Certificate{Name: "shop/c", Chain: []byte("chain"), Key: []byte("key")}
	frame, _ := frameOf(nameOf(in), in)
	r, rest, err := readFrame(string(frame))
	if err != nil || rest != "" {
		t.Fatal(err, rest)
	}
	out, err := r.noun()
	if err != nil || !reflect.DeepEqual(out, in) {
		t.Errorf("%v, %+v", err, out)
	}
}

func TestUnknownFieldsAreSkipped(t *testing.T) {
	t.Parallel()
	type inner struct{ Port, Weight int }
	type newer struct {
		Name   string
		Novel  *struct{ Name, Host string }
		List   []inner
		Table  map[string][]string
		Real   float64
		Signed int64
		Host   string
	}
	type older struct {
		Name string
		Host string
	}
	all := shapesOf(reflect.TypeFor[newer](), reflect.TypeFor[older]())
	in := newer{Name: "a", Novel: &struct{ Name, Host string }{"b", "c"}, List: []inner{{1, 2}, {3, 4}}, Table: map[string][]string{"x": {"y"}}, Real: 1.5, Signed: -9, Host: "h"}
	e := encoder{names: map[string]uint64{}}
	e.value(reflect.ValueOf(in), all[reflect.TypeFor[newer]()])
	var out older
	d := decoder{in: string(e.out), left: mostDecoded}
	if err := d.value(reflect.ValueOf(&out).Elem(), all[reflect.TypeFor[older]()], 0); err != nil || d.in != "" {
		t.Fatal(err, len(d.in))
	}
	if out != (older{"a", "h"}) {
		t.Errorf("%+v", out)
	}
}

func TestMalformed(t *testing.T) {
	t.Parallel()
	good := string(encode(nil, &model.Service{Name: "s", Endpoints: []*model.Endpoint{{Host: "a", Port: 80}, {Host: "b", Port: 7}}}))
	for i := range good {
		if err := decode(good[:i], &model.Service{}); err == nil {
			t.Errorf("%d bytes of %d are taken for all", i, len(good))
		}
	}
	if err := decode(good+"x", &model.Service{}); !errors.Is(err, errMalformed) {
		t.Errorf("too much: %v", err)
	}
	// Port is the last number: 7, then the ends of endpoint and service.
	bad := strings.Replace(good, "\x07\x00\x00", "\xff\xff\x7f\x00\x00", 1)
	var f *fieldError
	if err := decode(bad, &model.Service{}); !errors.As(err, &f) || f.path != "endpoints[1].port" || !strings.Contains(f.why, "too large") {
		t.Errorf("a port of three bytes: %v", err)
	}
	var deep strings.Builder
	deep.WriteString("\x0d\x01X")
	for range 100 {
		deep.WriteString("\x15")
	}
	if err := decode(deep.String(), &model.Service{}); !errors.Is(err, errMalformed) {
		t.Errorf("nested a hundred times: %v", err)
	}
	// Many elements of a byte each must not become much memory.
	huge := "\x0e\x09Endpoints\x80\x80\x80\x02\x05" + strings.Repeat("\x00", 1<<22) + "\x00"
	if err := decode(huge, &model.Service{}); !errors.Is(err, errMalformed) {
		t.Errorf("four million endpoints of a byte: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(encode(nil, &model.Route{Name: "r", Parents: []string{"a"}, Matches: []model.Match{{Path: "/"}}}), uint8(KindRoute))
	f.Add(encode(nil, &model.Policy{Name: "p", Rules: []model.PolicyRule{{Ports: []uint16{1, 2}}}}), uint8(KindPolicy))
	f.Fuzz(func(t *testing.T, in []byte, kind uint8) {
		k := Kind(kind)%(kinds-1) + 1
		p := reflect.New(nouns[k]).Interface()
		if decode(string(in), p) != nil {
			return
		}
		again := reflect.New(nouns[k]).Interface()
		body := encode(nil, p)
		if err := decode(string(body), again); err != nil {
			t.Fatalf("what was read cannot be read again: %v", err)
		}
		if string(encode(nil, again)) != string(body) {
			t.Fatal("it is written in two ways")
		}
	})
}
