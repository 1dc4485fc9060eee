package capture

import (
	"fmt"
	"net/netip"
	"testing"
)

// TestAddresses: the same names have the same addresses; no two have one.
func TestAddresses(t *testing.T) {
	want := VIP{}
	var names []string
	seen := map[netip.Addr]string{}
	for i := range 40_000 {
		names = append(names, fmt.Sprintf("service-%d.shop.mesh", i))
	}
	all := Addresses(append(names, names[0]))
	if len(all) != len(names) {
		t.Fatalf("%d addresses for %d names", len(all), len(names))
	}
	for name, v := range all {
		for _, a := range []netip.Addr{v.IP4, v.IP6} {
			if other, twice := seen[a]; twice {
				t.Fatalf("%s and %s have %v", name, other, a)
			}
			seen[a] = name
		}
		if !VIPs4.Contains(v.IP4) || !VIPs6.Contains(v.IP6) {
			t.Fatalf("%s has %v", name, v)
		}
	}
	// 40,000 names collide about 50 times; all others have what they would have
	// alone.
	moved := 0
	for name, v := range all {
		if alone := Addresses([]string{name})[name]; alone != v {
			moved++
		}
	}
	if moved == 0 || moved > 100 {
		t.Errorf("%d of 40,000 names have another address than alone", moved)
	}
	for i := range 3 {
		again := Addresses(append(append([]string{}, names[i*1000:]...), names[:i*1000]...))
		for name, v := range all {
			if again[name] != v {
				t.Fatalf("the order of names matters to %s", name)
			}
		}
	}
	want = VIP{netip.MustParseAddr("240.0.0.0"), netip.MustParseAddr("fd6e:6172:7501::")}
	if got := Addresses([]string{"orders.shop.mesh"})["orders.shop.mesh"]; got == want {
		t.Errorf("orders.shop.mesh has %v", got)
	}
}
