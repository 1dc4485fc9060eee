package model

import (
	"fmt"
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
		c.Services = append(c.Services, &Service{Name: service, Endpoints: []Endpoint{{Host: "10.0.0.1", Port: 80}, {Host: "10.0.0.2", Port: 80}}, Origin: origin})
	}
	return c
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
			c.Routes[77] = copied(c.Routes[77])
			f.Freeze(c)
		}
	})
}

func BenchmarkValidate(b *testing.B) {
	c := many(10_000)
	for b.Loop() {
		if _, p := Validate(c); len(p) > 0 {
			b.Fatal(p)
		}
	}
}
