package identity

import "testing"

func TestIsWorkload(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]bool{
		"spiffe://naru.local/ns/shop/sa/orders":      true,
		"spiffe://naru.local/ns/shop/sa/orders/more": false,
		"spiffe://naru.local/ns/shop/sa/":            false,
		"spiffe://naru.local/ns//sa/orders":          false,
		"spiffe://naru.local/ns/shop":                false,
		"spiffe://naru.local/node/web-1":             false,
		"spiffe://naru.local/control/plane-1":        false,
		"spiffe://naru.local":                        false,
		"spiffe://naru.local/anything":               false,
		"spiffe://partner.example/anything":          true,
		"spiffe://partner.example/ns/shop/sa/orders": true,
		"spiffe://partner.example/node/web-1":        false,
		"spiffe://partner.example/node/pool/web-1":   true,
		"spiffe://partner.example/control/plane-1":   false,
		"spiffe://naru.local.example/ns/shop/sa/a":   true,
		"https://naru.local/ns/shop/sa/orders":       false,
		"":                                           false,
	} {
		if got := IsWorkload(id, "naru.local"); got != want {
			t.Errorf("%q: %v, not %v", id, got, want)
		}
	}
}
