package gatewayapi

import (
	"fmt"
	"testing"
)

// Claims answer as overlap does of each pair, also after some are taken back.
func TestClaims(t *testing.T) {
	t.Parallel()
	hosts := []string{"", "example.com", "*.example.com", "a.example.com", "*.a.example.com", "b.a.example.com", "*.com", "com", "a.example.org", "*.example.org"}
	for set := range 1 << len(hosts) {
		var c claims
		var in []string
		for i, host := range hosts {
			c.add(host, nil, 1)
			if set&(1<<i) == 0 {
				c.add(host, nil, -1)
			} else {
				in = append(in, host)
			}
		}
		for _, host := range hosts {
			meets, besides, has := false, false, false
			for _, other := range in {
				meets = meets || overlap(host, other)
				besides = besides || host != other && overlap(host, other)
				has = has || host == other
			}
			_, m := c.meets(host)
			_, b := c.besides(host)
			if got, want := fmt.Sprint(m, b, c.has(host)), fmt.Sprint(meets, besides, has); got != want {
				t.Fatalf("%q in %q: %s, want %s", host, in, got, want)
			}
		}
	}
}
