package test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// edgeMesh has listeners with a route to a service that lets gateways in alone.
const edgeMesh = `mesh: {}
listen: [":8080", "https://:8443"]
tls: {cert: edge.pem, key: edge.key}
routes: [{match: /, to: orders}]
services: {orders: {mesh: 9102}}
policies: [{name: edge, to: orders, allow: gateway, tell: true}]
`

// TestMeshEdgeMachine has the gateway on a machine of its own: it gets listeners
// and their certificates by its token, calls services as the gateway, and serves
// on when it starts again without a control plane. A node without the token gets
// nothing of it.
func TestMeshEdgeMachine(t *testing.T) {
	t.Parallel()
	m := newMachines(t)
	edge, b := m.at[0], m.at[1]
	chain, key := certificate(t, 1, "shop.example")
	m.plane.file("edge.pem", chain)
	m.plane.file("edge.key", key)
	m.startControl(edgeMesh)
	m.join(1, "--join", m.token("--node", b.name))
	b.perform([]string{"--service", "orders", "--port", "9102"}, "serve", "9102", "orders here")
	m.plane.serving("orders", 1)
	ask := func(at string) string {
		c := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
			DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
			DialContext: func(_ context.Context, _, addr string) (net.Conn, error) { return m.plane.dial(addr) },
		}}
		a, err := c.Get(at)
		if err != nil {
			return err.Error()
		}
		defer a.Body.Close()
		text, err := io.ReadAll(a.Body)
		if err != nil {
			return err.Error()
		}
		return fmt.Sprintf("%d %s", a.StatusCode, text)
	}

	// Started as a gateway by a token that is none's.
	m.join(0, "--gateway", "--join", m.token("--node", edge.name))
	eventually(t, "it is said that it is no gateway", func() bool {
		return strings.Contains(m.nodes[0].errs.text(), "is no gateway; where that is right write on the control plane: naru token grant --node "+edge.name+" --gateway")
	})
	if conn, err := m.plane.dial(edge.addr + ":8080"); err == nil {
		conn.Close()
		t.Error("it has got listeners")
	}
	grant := m.plane.start(nil, binary, "token", "grant", "--socket", m.plane.path("control.sock"), "--node", edge.name, "--gateway")
	if status := grant.ended(); status != 0 {
		t.Fatal(grant.errs.text())
	}
	for _, at := range []string{"http://" + edge.addr + ":8080/", "https://" + edge.addr + ":8443/"} {
		eventually(t, at+" is served", func() bool { return ask(at) == "200 orders here" })
	}
	if conn, err := m.plane.dial(b.addr + ":8080"); err == nil {
		conn.Close()
		t.Error("a node that is no gateway has listeners")
	}
	m.saved()
	m.control.signal(syscall.SIGKILL)
	m.control.ended()
	m.nodes[0].signal(syscall.SIGKILL)
	m.nodes[0].ended()
	m.join(0, "--gateway")
	for _, at := range []string{"http://" + edge.addr + ":8080/", "https://" + edge.addr + ":8443/"} {
		eventually(t, at+" is served without a control plane", func() bool { return ask(at) == "200 orders here" })
	}
}

// TestMeshMachinesOfNetworks has machines say in which network they are: what is
// in another one is reached through the gateway there, and not by its address.
func TestMeshMachinesOfNetworks(t *testing.T) {
	t.Parallel()
	m := newMachines(t)
	edge, b := m.at[0], m.at[1]
	m.startControl("mesh: {networks: {west: \"" + edge.addr + ":15443\"}}\nservices: {orders: {mesh: 9102}}\n")
	m.join(0, "--gateway", "--network", "west", "--join", m.token("--node", edge.name, "--gateway"))
	m.join(1, "--network", "west", "--zone", "eu/west-1", "--join", m.token("--node", b.name))
	east := m.plane.naru(nil, append([]string{"node", "--network", "east", "--join", m.token("--node", m.plane.name)}, m.plane.node()...)...)
	b.perform([]string{"--service", "orders", "--port", "9102"}, "serve", "9102", "orders here")
	m.plane.serving("orders", 1)
	eventually(t, "it is called", func() bool { return m.plane.curl("web", "http://orders:9102/") == "200 orders here" })
	east.signal(syscall.SIGTERM) // a connection is told of when it has ended
	east.ended()
	eventually(t, "it went through the gateway", func() bool { return strings.Contains(m.nodes[0].out.text(), `"listener":"mesh/network"`) })
}
