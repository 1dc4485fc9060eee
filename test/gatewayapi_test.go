package test

import (
	"fmt"
	"net"
	"strings"
	"testing"
)

// fullForm is a Gateway, its routes and a Service behind them.
const fullForm = `apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: g}
spec:
  gatewayClassName: naru
  addresses: [{type: IPAddress, value: 127.0.0.1}]
  listeners:
  - {name: http, port: $PORT, protocol: HTTP}
---
apiVersion: v1
kind: Service
metadata: {name: up}
spec: {ports: [{port: 80, targetPort: $UP}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: up-1, labels: {kubernetes.io/service-name: up}}
addressType: IPv4
ports: [{port: $UP}]
endpoints: [{addresses: [127.0.0.1]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: r}
spec:
  parentRefs: [{name: g}]
  rules:
  - matches: [{path: {type: PathPrefix, value: /to}}]
    backendRefs: [{name: up, port: 80}]
    filters:
    - {type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /was}}}
    - {type: RequestHeaderModifier, requestHeaderModifier: {add: [{name: x-a, value: b}]}}
  - matches: [{path: {type: PathPrefix, value: /old}}]
    filters: [{type: RequestRedirect, requestRedirect: {statusCode: 301, hostname: new.example}}]
  - matches: [{path: {type: PathPrefix, value: /nobody}}]
  - matches: [{path: {type: PathPrefix, value: /missing}}]
    backendRefs: [{name: missing, port: 80}]
  - matches: [{path: {type: PathPrefix, value: /mixed}}]
    backendRefs: [{name: up, port: 80, weight: 0}, {name: missing, port: 80, weight: 1}]
`

func TestFullForm(t *testing.T) {
	t.Parallel()
	up := witness(t)
	_, port, err := net.SplitHostPort(up.addr)
	if err != nil {
		t.Fatal(err)
	}
	g := start(t, strings.ReplaceAll(fullForm, "$UP", port))
	g.ask("GET", "/to/x").is(t, 200, "GET /was/x")
	a := g.ask("GET", "/old/x")
	if got := fmt.Sprint(a.StatusCode, " ", a.Header.Get("Location")); got != g.fill("301 http://new.example:$PORT/old/x") {
		t.Error(got)
	}
	g.ask("GET", "/nobody").refused(t, 500, "no_backend")
	g.ask("GET", "/missing").refused(t, 500, "invalid_backend")
	g.ask("GET", "/mixed").refused(t, 500, "invalid_backend")
	g.ask("GET", "/").refused(t, 404, "no_route")
	// Taking the slice away takes the endpoint away.
	text := strings.ReplaceAll(fullForm, "$UP", port)
	g.reload(strings.Replace(text, "endpoints: [{addresses: [127.0.0.1]}]", "endpoints: []", 1))
	g.ask("GET", "/to/x").refused(t, 503, "no_endpoint")
	g.reload(text)
	g.ask("GET", "/to/x").is(t, 200, "GET /was/x")
}
