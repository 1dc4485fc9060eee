package route

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/wire"
)

// target names route i of a layout of n: all on one host, or ten on each host.
func target(i int, oneHost bool, host, path []byte) ([]byte, []byte) {
	if oneHost {
		path = strconv.AppendInt(append(path[:0], "/team"...), int64(i/100), 10)
		path = strconv.AppendInt(append(path, "/service"...), int64(i), 10)
		return append(host[:0], "api.example.com"...), append(path, "/v1"...)
	}
	host = strconv.AppendInt(append(host[:0], "tenant"...), int64(i/10), 10)
	path = strconv.AppendInt(append(path[:0], "/team/service"...), int64(i%10), 10)
	return append(host, ".example.com"...), append(path, "/v1"...)
}

func layout(n int, oneHost bool) (entries []Entry) {
	for i := range n {
		host, path := target(i, oneHost, nil, nil)
		m := model.Match{PathKind: model.PathPrefix, Path: string(path)}
		if i%10 == 3 {
			m.Method = "GET"
		}
		entries = append(entries, Entry{Hostnames: []string{string(host)}, Match: m, Rule: int32(i), Order: model.Order{Name: "shop/routes", Index: i}})
	}
	return entries
}

var (
	sizes   = []int{10, 1000, 10000, 100000}
	layouts = []struct {
		name    string
		oneHost bool
	}{{"one-host", true}, {"ten-a-host", false}}
)

// BenchmarkFind shows what a lookup costs when traffic goes to ten of the
// routes, spread over the table: its steps, which do not grow. BenchmarkFindCold
// goes to all routes in turn and adds what the processor's caches miss. Both
// include writing the target, about 40 ns.
func BenchmarkFind(b *testing.B)     { benchFind(b, 10) }
func BenchmarkFindCold(b *testing.B) { benchFind(b, 1<<30) }

func benchFind(b *testing.B, targets int) {
	for _, l := range layouts {
		for _, n := range sizes {
			b.Run(fmt.Sprintf("%s/%d", l.name, n), func(b *testing.B) {
				table, errs := Build(layout(n, l.oneHost), nil)
				if errs != nil {
					b.Fatal(errs)
				}
				h := &wire.Head{Method: []byte("GET")}
				var host []byte
				var hit Hit
				at, stride := 0, n/min(n, targets)*7919%n
				b.ReportAllocs()
				for b.Loop() {
					host, h.Path = target(at, l.oneHost, host, h.Path)
					h.Path = append(h.Path, "/items/42"...)
					if !table.Find(h, host, &hit) || int(hit.Rule) != at {
						b.Fatal(string(host), string(h.Path))
					}
					if at += stride; at >= n {
						at -= n
					}
				}
			})
		}
	}
}

func BenchmarkBuild(b *testing.B) {
	for _, l := range layouts {
		for _, n := range []int{1000, 10000, 100000} {
			b.Run(fmt.Sprintf("%s/%d", l.name, n), func(b *testing.B) {
				entries := layout(n, l.oneHost)
				for b.Loop() {
					Build(entries, nil)
				}
			})
		}
	}
}
