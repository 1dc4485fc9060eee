package test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// echoFields answers with the forwarding fields that came.
func echoFields(w http.ResponseWriter, r *http.Request) {
	for _, name := range []string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port", "Forwarded"} {
		if v, ok := r.Header[name]; ok {
			fmt.Fprintf(w, "%s=%s\n", name, strings.Join(v, "|"))
		}
	}
	fmt.Fprintf(w, "host=%s\n", r.Host)
}

func TestForwarded(t *testing.T) {
	t.Parallel()
	up := serve(t, echoFields)
	sent := []string{
		"Host: shop.example", "X-Forwarded-For: 192.0.2.1", "X-Forwarded-For: 192.0.2.2, 192.0.2.3", "X-Forwarded-Proto: https",
		"X-Forwarded-Host: front.example", "X-Forwarded-Port: 443", `Forwarded: for=192.0.2.1;proto=https`,
	}
	for hops, want := range map[int]string{
		0: "X-Forwarded-For=127.0.0.1\nX-Forwarded-Proto=http\nX-Forwarded-Host=shop.example\nhost=shop.example\n",
		1: "X-Forwarded-For=192.0.2.1, 192.0.2.2, 192.0.2.3, 127.0.0.1\nX-Forwarded-Proto=https\nX-Forwarded-Host=front.example\nX-Forwarded-Port=443\n" +
			"Forwarded=for=192.0.2.1;proto=https, for=127.0.0.1;proto=http;host=\"shop.example\"\nhost=shop.example\n",
	} {
		t.Run(fmt.Sprint(hops, " hops"), func(t *testing.T) {
			t.Parallel()
			g := start(t, fmt.Sprintf("listen: {address: $LISTEN, trustedHops: %d}\nroutes:\n- match: /\n  to: http://%s\n", hops, up.addr))
			g.ask("GET", "/", sent...).is(t, 200, want)
			g.ask("GET", "/", "Host: a").is(t, 200, "X-Forwarded-For=127.0.0.1\nX-Forwarded-Proto=http\nX-Forwarded-Host=a\nhost=a\n")
		})
	}
}

func TestForwardingFieldsCannotBeRemoved(t *testing.T) {
	t.Parallel()
	up := serve(t, echoFields)
	g := start(t, "listen: {address: $LISTEN, trustedHops: 1}\nroutes:\n- match: /\n  to: http://"+up.addr+"\n")
	c := g.dial()
	c.send("GET / HTTP/1.1\nHost: a\nX-Forwarded-For: 192.0.2.1\nConnection: X-Forwarded-For\n\n")
	if a := c.answer("GET"); !strings.Contains(a.body, "192.0.2.1, 127.0.0.1") {
		t.Errorf("got %q", a.body)
	}
}

func TestClientAddressByHops(t *testing.T) {
	t.Parallel()
	for hops, want := range map[int]string{0: "127.0.0.1", 1: "192.0.2.3", 2: "192.0.2.2", 9: "192.0.2.1"} {
		g := start(t, fmt.Sprintf("listen: {address: $LISTEN, trustedHops: %d}\nlog: json\nroutes:\n- match: /\n  respond: 200\n", hops))
		g.ask("GET", "/", "X-Forwarded-For: 192.0.2.1, 192.0.2.2, 192.0.2.3")
		said(t, g.out, fmt.Sprintf(`"client":"%s"`, want))
	}
}

func TestRequestID(t *testing.T) {
	t.Parallel()
	up := serve(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Header["X-Request-Id"]) })
	g := start(t, "listen:\n- $LISTEN\n- {address: $LISTEN2, trustedHops: 1}\nroutes:\n- match: /\n  to: http://"+up.addr+"\n")
	seen := map[string]bool{}
	c := g.dial()
	for range 100 {
		c.send("GET / HTTP/1.1\nHost: a\nX-Request-Id: mine\n\n")
		id := c.answer("GET").body
		if len(id) != 34 || seen[id] {
			t.Fatalf("request id %q", id)
		}
		seen[id] = true
	}
	trusted := dial(t, g.ports["$LISTEN2"])
	trusted.send("GET / HTTP/1.1\nHost: a\nX-Request-Id: theirs\n\n")
	trusted.answer("GET").is(t, 200, "[theirs]")
	if id := trusted.get("/").body; len(id) != 34 {
		t.Errorf("without one from the front: %q", id)
	}
}
