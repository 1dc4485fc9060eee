package gatewayapi

import (
	"strconv"
	"testing"

	"github.com/naru-mesh/naru/model"
)

// The authorities that clients' certificates are checked with are those of the
// Gateway, for its own listeners and for those of its ListenerSets. They are
// not shown as JSON, so the cases in testdata cannot tell.
func TestClientAuthorities(t *testing.T) {
	t.Parallel()
	chain, private := pairForTests()
	text := `apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gw}
spec:
  gatewayClassName: naru
  allowedListeners: {namespaces: {from: Same}}
  tls:
    frontend:
      default: {validation: {caCertificateRefs: [{group: "", kind: ConfigMap, name: ca}, {group: "", kind: ConfigMap, name: ca}]}}
      perPort: [{port: 444, tls: {validation: {caCertificateRefs: [{group: "", kind: ConfigMap, name: ca}]}}}]
  listeners:
  - {name: a, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: cert}]}}
  - {name: b, port: 444, protocol: HTTPS, tls: {certificateRefs: [{name: cert}]}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: ListenerSet
metadata: {name: more}
spec:
  parentRef: {name: gw}
  listeners: [{name: c, port: 444, protocol: HTTPS, hostname: c.example.com, tls: {certificateRefs: [{name: cert}]}}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: ca}
data: {ca.crt: ` + strconv.Quote(chain) + `}
---
apiVersion: v1
kind: Secret
metadata: {name: cert}
stringData: {tls.crt: ` + strconv.Quote(chain) + `, tls.key: ` + strconv.Quote(private) + `}
`
	d := New()
	items, problems := parseAll(d, "in.yaml", []byte(text))
	out := d.Translate(items)
	if problems = append(problems, out.Problems...); len(problems) != 0 || len(out.Listeners) != 3 {
		t.Fatal(problems, out.Listeners)
	}
	for i, want := range []string{chain + chain, chain, chain} {
		auth := out.Listeners[i].ClientAuth
		if auth == nil || string(auth.CA) != want || auth.Optional {
			t.Errorf("%s: %+v", out.Listeners[i].Name, auth)
		}
	}
	if c := out.Certificates[0]; string(c.Chain) != chain || string(c.Key) != private || c.Name != "default/cert" {
		t.Errorf("%+v", model.Certificate{Name: c.Name})
	}
}
