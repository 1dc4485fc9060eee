package model

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"
)

// many gives a valid Config of n routes, each to its own service.
func many(n int) *Config {
	c := &Config{Listeners: []*Listener{{Name: "public", Port: 8080, Protocol: HTTP}}}
	for i := range n {
		name := fmt.Sprintf("shop/r%06d/0", i)
		service := fmt.Sprintf("shop/s%06d:80", i)
		origin := Origin{Source: "shop.yaml", Line: 10 * i, Column: 3, Object: "HTTPRoute shop/r", Field: "spec.rules[0]"}
		set := "v"
		c.Routes = append(c.Routes, &Route{
			Name: name, Parents: []string{"public"}, Hostnames: []string{fmt.Sprintf("h%d.example.com", i)},
			Matches: []Match{
				{PathKind: PathPrefix, Path: fmt.Sprintf("/api/v%d", i), Headers: []FieldMatch{{FieldExact, "x-a", "b"}}},
				{PathKind: PathExact, Path: fmt.Sprintf("/login/%d", i), Method: "GET"},
			},
			Filters:  []Filter{{RequestHeaders: &HeaderEdit{Set: []Field{{"x-b", set}}}}},
			Backends: []Backend{{Service: service, Weight: 1}},
			Timeouts: Timeouts{Request: 10 * time.Second, Backend: time.Second},
			Retry:    &Retry{Attempts: 2, Codes: []int{503}},
			Order:    Order{Name: name, Index: i},
			Origin:   origin,
		})
		c.Services = append(c.Services, &Service{Name: service, Endpoints: []*Endpoint{{Host: "10.0.0.1", Port: 80}, {Host: "10.0.0.2", Port: 80}}, Origin: origin})
	}
	return c
}

// TestEveryFieldCounts changes each field of each noun, one at a time, and
// sees that the Version changes: nobody can add a field and forget it.
func TestEveryFieldCounts(t *testing.T) {
	t.Parallel()
	full := &Config{
		Listeners:    []*Listener{{}},
		Routes:       []*Route{{}},
		Flows:        []*Flow{{}},
		Services:     []*Service{{}},
		Certificates: []*Certificate{{}},
		Workloads:    []*Workload{{}},
		Policies:     []*Policy{{}},
		Traffic:      []*TrafficPolicy{{}},
	}
	fields := 0
	versions := map[Version]string{Freeze(full).Version: "nothing"}
	var walk func(path string, v reflect.Value)
	see := func(path string) {
		fields++
		version := Freeze(full).Version
		if other, twice := versions[version]; twice {
			t.Errorf("%s changes nothing, or the same as %s", path, other)
		}
		versions[version] = path
	}
	walk = func(path string, v reflect.Value) {
		old := reflect.New(v.Type()).Elem()
		old.Set(v)
		switch v.Kind() {
		case reflect.Struct:
			for i := range v.NumField() {
				walk(path+"."+v.Type().Field(i).Name, v.Field(i))
			}
			return
		case reflect.Pointer:
			if v.IsNil() {
				v.Set(reflect.New(v.Type().Elem()))
				see(path)
			}
			walk(path, v.Elem())
		case reflect.Slice:
			if v.Len() == 0 {
				v.Set(reflect.MakeSlice(v.Type(), 1, 1))
				if e := v.Index(0); e.Kind() == reflect.Pointer {
					e.Set(reflect.New(e.Type().Elem()))
				}
				see(path)
			}
			walk(path+"[0]", v.Index(0))
		case reflect.String:
			v.SetString("x")
			see(path)
		case reflect.Float64:
			v.SetFloat(1.5)
			see(path)
		case reflect.Int, reflect.Int64:
			v.SetInt(-7)
			see(path)
		case reflect.Uint16, reflect.Uint8:
			v.SetUint(7)
			see(path)
		case reflect.Bool:
			v.SetBool(true)
			see(path)
		default:
			t.Errorf("%s is a %v, which nouns do not hold", path, v.Kind())
		}
		v.Set(old)
	}
	walk("Config", reflect.ValueOf(full).Elem())
	if fields < 100 {
		t.Errorf("only %d fields were seen", fields)
	}
}

func TestVersionIsStable(t *testing.T) {
	t.Parallel()
	// It stands in logs and metrics of several proxies, so a change of naru
	// that changes it for the same content must be on purpose.
	if got := Freeze(many(3)).Version; got != "a61b261413f3c354" {
		t.Errorf("version %s", got)
	}
	random := rand.New(rand.NewPCG(1, 2))
	want := Freeze(many(50))
	for range 20 {
		c := many(50)
		random.Shuffle(len(c.Routes), func(i, j int) { c.Routes[i], c.Routes[j] = c.Routes[j], c.Routes[i] })
		random.Shuffle(len(c.Services), func(i, j int) { c.Services[i], c.Services[j] = c.Services[j], c.Services[i] })
		first := c.Routes[0]
		got := Freeze(c)
		if !reflect.DeepEqual(got, want) {
			t.Fatal("the order of the lists matters")
		}
		if c.Routes[0] != first {
			t.Fatal("the lists of the Config were written to")
		}
	}
}

func TestFreezerKeepsWhatIsTheSame(t *testing.T) {
	t.Parallel()
	var f Freezer
	a := f.Freeze(many(20))
	c := many(20)
	c.Routes[7].Backends[0].Weight = 9
	c.Services = c.Services[1:]
	b := f.Freeze(c)
	if b.Version == a.Version || b.Version != Freeze(c).Version {
		t.Errorf("versions %s, then %s; by itself %s", a.Version, b.Version, Freeze(c).Version)
	}
	for i := range b.Routes {
		if same := b.Routes[i] == a.Routes[i]; same != (i != 7) {
			t.Errorf("route %d is the same pointer: %v", i, same)
		}
	}
	for i := range b.Services {
		if b.Services[i] != a.Services[i+1] {
			t.Errorf("service %d is another pointer", i)
		}
	}
	if again := f.Freeze(many(20)); again.Version != a.Version || again.Routes[7] == b.Routes[7] {
		t.Error("what was undone is not as before")
	}
}

// TestFreezerFollows changes a few nouns and endpoints at a time, and sees that it
// comes to the same as if all had been looked at.
func TestFreezerFollows(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(3, 4))
	var f Freezer
	c := many(70)
	big := &Service{Name: "shop/big", Endpoints: make([]*Endpoint, 300)}
	for i := range big.Endpoints {
		big.Endpoints[i] = &Endpoint{Host: "10.0.0.1", Port: uint16(i + 1)}
	}
	c.Services = append(c.Services, big)
	for step := range 60 {
		before := f.Freeze(c)
		if other := Freeze(c); before.Version != other.Version || !reflect.DeepEqual(before.Services, other.Services) || !reflect.DeepEqual(before.Routes, other.Routes) {
			t.Fatalf("step %d: another than by itself", step)
		}
		next := *c
		next.Services, next.Routes = append([]*Service(nil), c.Services...), append([]*Route(nil), c.Routes...)
		for range rnd.IntN(4) {
			switch i := rnd.IntN(len(next.Routes)); rnd.IntN(4) {
			case 0:
				next.Routes[i] = copied(next.Routes[i])
				next.Routes[i].Order.Index = 1000 + step
			case 1:
				next.Routes = append(next.Routes[:i], next.Routes[i+1:]...)
			case 2:
				n := copied(next.Routes[i])
				n.Name += fmt.Sprint("/", step)
				next.Routes = append(next.Routes, n)
			case 3:
				at := rnd.IntN(len(big.Endpoints))
				e := copied(big.Endpoints[at])
				e.Weight = 1000 + step
				big = copied(big)
				big.Endpoints = append([]*Endpoint(nil), big.Endpoints...)
				if big.Endpoints[at] = e; rnd.IntN(3) == 0 {
					big.Endpoints = append(big.Endpoints[:at], big.Endpoints[at+1:]...)
				}
				for k, s := range next.Services {
					if s.Name == big.Name {
						next.Services[k] = big
					}
				}
			}
		}
		c = &next
	}
	c.Services = c.Services[:1]
	if f.Freeze(c); len(f.endpoints) != 0 {
		t.Error("sums of what is gone are kept")
	}
}

// TestEndpointsCountInLongLists is TestEveryFieldCounts where only what has changed
// is written down.
func TestEndpointsCountInLongLists(t *testing.T) {
	t.Parallel()
	s := &Service{Name: "a"}
	for i := range manyEndpoints {
		s.Endpoints = append(s.Endpoints, &Endpoint{Host: "a", Port: uint16(i)})
	}
	versions := map[Version]string{Freeze(&Config{Services: []*Service{s}}).Version: "nothing"}
	see := func(what string, x *Service) {
		v := Freeze(&Config{Services: []*Service{x}}).Version
		if other, twice := versions[v]; twice {
			t.Errorf("%s changes nothing, or the same as %s", what, other)
		}
		versions[v] = what
	}
	for i := range reflect.TypeFor[Endpoint]().NumField() {
		x, e := copied(s), copied(s.Endpoints[5])
		x.Endpoints = append([]*Endpoint(nil), s.Endpoints...)
		x.Endpoints[5] = e
		switch f := reflect.ValueOf(e).Elem().Field(i); f.Kind() {
		case reflect.String:
			f.SetString("x")
		case reflect.Bool:
			f.SetBool(true)
		case reflect.Int:
			f.SetInt(3)
		case reflect.Uint16:
			f.SetUint(9999)
		default:
			f.Field(0).SetString("x")
		}
		see(reflect.TypeFor[Endpoint]().Field(i).Name, x)
	}
	x := copied(s)
	x.Endpoints = append([]*Endpoint(nil), s.Endpoints...)
	x.Endpoints[3], x.Endpoints[4] = x.Endpoints[4], x.Endpoints[3]
	see("the order", x)
	x = copied(x)
	x.Endpoints = append(x.Endpoints, x.Endpoints[0])
	see("one more", x)
	x = copied(x)
	x.Host = "h"
	see("the host", x)
}

func BenchmarkFreeze(b *testing.B) {
	c := many(10_000)
	b.Run("anew", func(b *testing.B) {
		for b.Loop() {
			Freeze(c)
		}
	})
	b.Run("one changed", func(b *testing.B) {
		var f Freezer
		f.Freeze(c)
		for b.Loop() {
			c.Routes = append([]*Route(nil), c.Routes...)
			c.Routes[77] = copied(c.Routes[77])
			f.Freeze(c)
		}
	})
}
