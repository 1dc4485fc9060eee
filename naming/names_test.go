package naming

import (
	"testing"

	"github.com/naru-mesh/naru/model"
)

func TestNames(t *testing.T) { // not beside others, whose allocations would count
	n := Compile([]model.MeshName{
		{Name: "orders", Port: 9102, Address: "240.0.0.1"}, {Name: "orders", Port: 9103, Address: "240.0.0.1"}, {Name: "orders.shop", Port: 9102, Address: "240.0.0.1"},
		{Name: "front", Port: 8443, Address: "240.0.0.2"}, {Name: "front", Port: 80, Address: "240.0.0.2"}, {Name: "broken", Port: 80, Address: "nowhere"},
	})
	room := make([]byte, 0, Longest)
	for _, c := range []struct{ authority, want, wrong string }{
		{"orders:9102", "240.0.0.1:9102", ""},
		{"ORDERS.:9103", "240.0.0.1:9103", ""},
		{"orders.shop:9102", "240.0.0.1:9102", ""},
		{"orders", "240.0.0.1:9102", ""},
		{"orders:", "240.0.0.1:9102", ""},
		{"front", "240.0.0.2:80", ""},
		{"front:80", "240.0.0.2:80", ""},
		{"orders:80", "", "orders is called at ports 9102, 9103, and not at 80"},
		{"Orders:0", "", "orders is called at ports 9102, 9103, and not at 0"},
		{"orders.shop:1", "", "orders.shop is called at port 9102, and not at 1"},
		{"nobody:80", "", ""}, {"nobody", "", ""}, {"broken", "", ""}, {"broken:81", "", ""}, {"", "", ""}, {":80", "", ""},
		{"[::1]:80", "", ""}, {"[::1]", "", ""}, {"orders:99999", "", ""}, {"orders:http", "", ""},
	} {
		to, wrong := n.Authority([]byte(c.authority), room)
		got := ""
		if to.IsValid() {
			got = to.String()
		}
		if got != c.want || (wrong == nil) != (c.wrong == "") || wrong != nil && wrong.Error() != c.wrong {
			t.Errorf("%q: %s, %v", c.authority, got, wrong)
		}
	}
	if to, ok := n.At([]byte("Front"), 8443, room); !ok || to.String() != "240.0.0.2:8443" {
		t.Errorf("%v %v", to, ok)
	}
	if _, ok := n.At([]byte("front"), 0, room); ok {
		t.Error("no port is one")
	}
	none := Compile(nil)
	if _, ok := none.At([]byte("orders"), 9102, room); ok || none.Elsewhere([]byte("orders"), 1, room) != nil {
		t.Error("none has names")
	}
	if to, wrong := none.Authority([]byte("orders:1"), room); to.IsValid() || wrong != nil {
		t.Error("none has names")
	}
	authority := []byte("orders.shop:9102")
	if n := testing.AllocsPerRun(100, func() { _, _ = n.Authority(authority, room) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
