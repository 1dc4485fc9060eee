package authz

import (
	"testing"

	"github.com/naru-mesh/naru/model"
)

// TestReading: what services may make of a path.
func TestReading(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"/": "", "/orders/1": "", "": "",
		"/admin%2Fusers":     "/admin/users",
		"/admin%5Cusers":     "/admin/users",
		"/admin;v=1/users":   "/admin/users",
		"/;/admin;a;b=%2F/":  "/admin/",
		"/x/..%2Fadmin":      "/admin",
		"/x%2F..%2F..%2F..":  "/",
		"/x/.%3B/y":          "/x/.;/y",
		"/%2F%2Fadmin":       "/admin",
		"/caf%C3%A9/%40me":   "/café/@me",
		"/100%":              "/100%",
		"/a%2":               "/a%2",
		"/a%zz%2e":           "/a%zz.",
		"/a/%2E/b/%2e%2e/":   "/a/",
		"/%2e%2e%2f%2e%2e/a": "/a",
		";x":                 "",
	} {
		if got := string(reading([]byte(path))); got != want {
			t.Errorf("%s: %q, not %q", path, got, want)
		}
	}
}

// TestSpellings: a path that services may read differently is refused if either
// reading is, and audited if either is.
func TestSpellings(t *testing.T) {
	t.Parallel()
	deny := func(r model.PolicyRule) *Decider { return decider(t, policy(model.Deny, r)) }
	allow := func(r model.PolicyRule) *Decider { return decider(t, policy(model.Allow, r)) }
	admin, open := model.PolicyRule{Paths: []string{"/admin", "/admin/*"}}, model.PolicyRule{NotPaths: []string{"/public/*"}}
	orders := model.PolicyRule{Paths: []string{"/orders/{id}", "/caf%C3%A9", "/v;1/*", "/users/@me"}}
	code := model.PolicyRule{CEL: `request.path.startsWith("/admin")`}
	for _, c := range []struct {
		d    *Decider
		path string
		lets bool
	}{
		{deny(admin), "/administer", true},
		{deny(admin), "/admin%2Fusers", false},
		{deny(admin), "/admin%5Cusers", false},
		{deny(admin), "/admin;v=1/users", false},
		{deny(admin), "/admin;", false},
		{deny(admin), "/x%2F..%2Fadmin", false},
		{deny(admin), "/caf%C3%A9/admin", true},
		{deny(open), "/public/a", true},
		{deny(open), "/public/a%20b", true},
		{deny(open), "/public/..%2Fadmin", false},
		{allow(orders), "/orders/7", true},
		{allow(orders), "/orders/a%20b", true},
		{allow(orders), "/orders/7%2Fadmin", false},
		{allow(orders), "/caf%C3%A9", true},
		{allow(orders), "/v;1/x", true},
		{allow(orders), "/users/@me", true},
		{allow(orders), "/users/%40me", false}, // as before: it is written in another way
		{allow(open), "/x", true},
		{allow(open), "/public%2Fa", false},
		{deny(code), "/x", true},
		{deny(code), "/x%2F..%2Fadmin", false},
		{allow(code), "/admin/x", true},
		{allow(code), "/admin%2F..%2Fx", false},
	} {
		x := ask(peer("10.1.2.3:4", ""), "GET h"+c.path)
		if got := refused(c.d, x) == 0; got != c.lets {
			t.Errorf("%s of %s: let in: %v", c.d.policies[0].Name, c.path, got)
		}
		if got := !c.d.Explain(peer("10.1.2.3:4", ""), 80, x).Refused; got != c.lets {
			t.Errorf("%s of %s: explained as let in: %v", c.d.policies[0].Name, c.path, got)
		}
		if f := c.d.Explain(peer("10.1.2.3:4", ""), 80, x).Findings[0]; f.Matches != (c.lets == (f.Action == model.Allow)) {
			t.Errorf("%s of %s: %+v", c.d.policies[0].Name, c.path, f)
		}
	}
	d := decider(t, policy(model.Audit, admin))
	x := ask(peer("10.1.2.3:4", ""), "GET h/admin%2Fusers")
	if refused(d, x) != 0 || d.audits[0].count(Audited) != 1 {
		t.Error("it is not audited")
	}
}
