package proxy

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/wire"
)

var addrPort = netip.MustParseAddrPort("192.0.2.9:4711")

func TestStamp(t *testing.T) {
	t.Parallel()
	const claims = "X-Forwarded-For|6.6.6.6, 203.0.113.5|X-Forwarded-Proto|https|X-Forwarded-Host|shop.example|X-Forwarded-Port|44321|Forwarded|for=6.6.6.6|X-Request-Id|mine"
	for _, c := range []struct {
		name   string
		hops   int
		remote string
		fields string
		want   []string // lines
		not    []string
		client string
	}{
		{"nobody is trusted", 0, "192.0.2.9:1", claims,
			[]string{"X-Forwarded-For: 192.0.2.9", "X-Forwarded-Proto: http", "X-Forwarded-Host: a.example"},
			[]string{"6.6.6.6", "Port: ", "mine", "Forwarded: "}, "192.0.2.9"},
		{"one hop", 1, "192.0.2.9:1", claims,
			[]string{"X-Forwarded-For: 6.6.6.6, 203.0.113.5, 192.0.2.9", "X-Forwarded-Proto: https", "X-Forwarded-Host: shop.example",
				"X-Forwarded-Port: 44321", `Forwarded: for=6.6.6.6, for=192.0.2.9;proto=http;host="a.example"`, "X-Request-Id: mine"},
			nil, "203.0.113.5"},
		{"two hops", 2, "192.0.2.9:1", claims, nil, nil, "6.6.6.6"},
		{"more hops than addresses", 9, "192.0.2.9:1", claims, nil, nil, "6.6.6.6"},
		{"a hop that says nothing", 1, "192.0.2.9:1", "",
			[]string{"X-Forwarded-For: 192.0.2.9", "X-Forwarded-Proto: http", "X-Forwarded-Host: a.example"},
			[]string{"Forwarded: "}, "192.0.2.9"},
		{"empty lines", 1, "192.0.2.9:1", "X-Forwarded-For||Forwarded|", []string{"X-Forwarded-For: 192.0.2.9"}, []string{": ,"}, "192.0.2.9"},
		{"several lines", 2, "192.0.2.9:1", "X-Forwarded-For|1.2.3.4|X-Forwarded-For|5.6.7.8",
			[]string{"X-Forwarded-For: 1.2.3.4, 5.6.7.8, 192.0.2.9"}, nil, "1.2.3.4"},
		{"IPv6", 1, "[2001:db8::9]:1", "X-Forwarded-For|2001:db8::1|Forwarded|for=x",
			[]string{"X-Forwarded-For: 2001:db8::1, 2001:db8::9", `Forwarded: for=x, for="[2001:db8::9]";proto=http`}, nil, "2001:db8::1"},
		{"IPv4 on a socket for both", 0, "[::ffff:192.0.2.9]:1", "", []string{"X-Forwarded-For: 192.0.2.9"}, []string{":ffff"}, "192.0.2.9"},
		{"a zone", 0, "[fe80::1%eth0]:1", "", []string{"X-Forwarded-For: fe80::1"}, []string{"eth0"}, ""},
		{"lookalikes", 0, "192.0.2.9:1", "X_Forwarded_For|6.6.6.6|x_forwarded_proto|fake|X_Request_Id|mine|X-Forwarded_For|6.6.6.7|x_forwarded-Client-Cert|fake|x_forwarded_new|fake|X-Request_Id|mine|Naru_Passport|mine|X_Other|stays|N|stays|x_forwarded|stays",
			[]string{"X-Forwarded-For: 192.0.2.9", "X_Other: stays", "N: stays", "x_forwarded: stays"}, []string{"6.6.6", "fake", "mine"}, "192.0.2.9"},
		{"with ports", 1, "192.0.2.9:1", "X-Forwarded-For|1.2.3.4:99", nil, nil, "1.2.3.4"},
		{"brackets and port", 1, "192.0.2.9:1", "X-Forwarded-For|[2001:db8::1]:99", nil, nil, "2001:db8::1"},
		{"no address", 1, "192.0.2.9:1", "X-Forwarded-For|unknown", nil, nil, "192.0.2.9"},
		{"an id that is too long", 1, "192.0.2.9:1", "X-Request-Id|" + strings.Repeat("i", maxRequestID+1), nil, []string{"iii"}, "192.0.2.9"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := shop(1, filters(does(0, "none")))
			cfg.Listeners[0].TrustedHops = c.hops
			w := newWorld(t, 1)
			w.apply(cfg)
			s := w.open("GET", "/", 0)
			s.peer.Remote = netip.MustParseAddrPort(c.remote)
			if c.fields != "" {
				list := strings.Split(c.fields, "|")
				for i := 0; i < len(list); i += 2 {
					s.x.Request.AddString(wire.KeyOf(list[i]), list[i+1])
				}
			}
			s.request("", true)
			got := "\r\n" + string(w.conn(0).fields)
			for _, line := range c.want {
				if !strings.Contains(got, "\r\n"+line) {
					t.Errorf("no %q in %q", line, got)
				}
			}
			for _, text := range c.not { // none that an X-Request-Id of chance may have
				if strings.Contains(got, text) {
					t.Errorf("%q is in %q", text, got)
				}
			}
			w.conn(0).respond(200, "", true)
			if c.client != "" && w.last.Client.String() != c.client {
				t.Errorf("client %v, want %s", w.last.Client, c.client)
			}
			w.settled(1)
		})
	}
}

func TestClientOfARequestWithoutRoute(t *testing.T) {
	t.Parallel()
	cfg := shop(1)
	cfg.Listeners[0].TrustedHops = 1
	cfg.Routes = nil
	w := newWorld(t, 1)
	w.apply(cfg)
	w.get("/", "X-Forwarded-For", "6.6.6.6, 203.0.113.5")
	if got := w.last.Client.String(); got != "203.0.113.5" {
		t.Errorf("client %s: a client must not choose it", got)
	}
	w.settled(1)
}

func TestFiltersDoNotChangeTheClient(t *testing.T) {
	t.Parallel()
	cfg := shop(1, filters(does(0, "rewrite")))
	cfg.Listeners[0].TrustedHops = 1
	w := newWorld(t, 1)
	w.apply(cfg)
	w.get("/", "X-Forwarded-For", "203.0.113.5")
	w.conn(0).respond(200, "", true)
	if got := w.last.Client.String(); got != "203.0.113.5" {
		t.Errorf("client %s", got)
	}
}

func TestRequestIDsDiffer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(shop(1))
	seen := map[string]bool{}
	for range 100 {
		w.get("/")
		w.conn(0).respond(200, "", true)
		seen[string(w.last.RequestID)] = true
	}
	if len(seen) != 100 {
		t.Errorf("%d ids for 100 requests", len(seen))
	}
}

func TestParseIPv4(t *testing.T) {
	for _, s := range []string{"1.2.3.4", "0.0.0.0", "255.255.255.255", "10.20.30.40", "", ".", "1", "1.2.3", "1.2.3.4.5", "1.2.3.", "1..3.4",
		"256.1.1.1", "1.2.3.256", "01.2.3.4", "1.2.3.04", "1.2.3.4x", "x1.2.3.4", "1.2.3.1000", "1,2,3,4", "00.0.0.0"} {
		want, err := netip.ParseAddr(s)
		got, ok := parseIPv4([]byte(s))
		if ok != (err == nil) || ok && got != want {
			t.Errorf("%q: %v %v, want %v %v", s, got, ok, want, err)
		}
	}
	if n := testing.AllocsPerRun(10, func() { parseAddr([]byte(" 203.0.113.5 ")) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestForwardedCertificates: services believe the field, so nobody may write it
// but whoever has checked the certificate.
func TestForwardedCertificates(t *testing.T) {
	t.Parallel()
	const ours, claimed = `Hash=00;Subject="CN=alice"`, "Hash=66"
	for _, c := range []struct {
		name            string
		forward, proved bool
		hops            int
		sent            bool
		want            string // "" is none
	}{
		{name: "not asked for", proved: true, sent: true},
		{name: "not asked for, in front of a trusted hop", hops: 1, sent: true, want: claimed},
		{name: "none is proved", forward: true, sent: true},
		{name: "proved", forward: true, proved: true, want: ours},
		{name: "proved, and claimed otherwise", forward: true, proved: true, sent: true, want: ours},
		{name: "proved by a trusted hop", forward: true, proved: true, hops: 1, sent: true, want: claimed + ", " + ours},
		{name: "proved by a trusted hop that says nothing", forward: true, proved: true, hops: 1, want: ours},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := shop(1)
			cfg.Listeners[0].TrustedHops = c.hops
			cfg.Listeners[0].ClientAuth = &model.ClientAuth{Forward: c.forward}
			w := newWorld(t, 1)
			w.apply(cfg)
			s := w.open("GET", "/", 0)
			s.peer.TLS = &wire.TLSState{}
			if c.proved {
				s.peer.TLS.Forwarded, s.peer.TLS.Subject = ours, "CN=alice"
			}
			if c.sent {
				s.x.Request.AddString(wire.KeyOf("x-forwarded-client-cert"), claimed)
			}
			s.request("", true)
			got := ""
			for _, line := range strings.Split(string(w.conn(0).fields), "\r\n") {
				if value, ok := strings.CutPrefix(strings.ToLower(line), "x-forwarded-client-cert: "); ok {
					got += value
				}
			}
			if got != strings.ToLower(c.want) {
				t.Errorf("the service is told %q, want %q", got, c.want)
			}
			w.conn(0).respond(200, "", true)
			if want := map[bool]string{true: "CN=alice"}[c.proved]; w.last.Subject != want {
				t.Errorf("the log has %q", w.last.Subject)
			}
			w.settled(1)
		})
	}
}
