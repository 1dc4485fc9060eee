package test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/naru-mesh/naru/mesh"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/test/freeport"
)

// password is what the storefront of explicitly is told.
const password = "Proxy-Authorization: Basic bmFydTpzZWNyZXQ=\r\n"

// explicitly makes a pair whose storefront is not captured.
func explicitly(t *testing.T, service string, protocol model.AppProtocol, change func(*meshPair)) *meshPair {
	t.Helper()
	return explicitlyWaiting(t, patience, service, protocol, change)
}

func explicitlyWaiting(t *testing.T, detect time.Duration, service string, protocol model.AppProtocol, change func(*meshPair)) *meshPair {
	t.Helper()
	pass := sha256.Sum256([]byte("Basic bmFydTpzZWNyZXQ="))
	return newMeshPairWaiting(t, detect, service, protocol, func(p *meshPair) {
		p.a.node.Locals[0].Pass = pass[:]
		if change != nil {
			change(p)
		}
	})
}

// askTunnel asks for a tunnel and gives the answer, whose body is read unless it is the
// tunnel, which is what is read from afterwards.
func askTunnel(t *testing.T, conn net.Conn, to, fields, early string) (int, string, *bufio.Reader) {
	t.Helper()
	if _, err := io.WriteString(conn, "CONNECT "+to+" HTTP/1.1\r\nHost: "+to+"\r\n"+fields+"\r\n"+early); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(conn)
	res, err := http.ReadResponse(in, &http.Request{Method: "CONNECT"})
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode == 200 {
		return 200, "", in
	}
	if !res.Close {
		t.Errorf("%s: the connection stays after status %d", to, res.StatusCode)
	}
	if want := map[bool]string{true: `Basic realm="naru"`}[res.StatusCode == 407]; res.Header.Get("Proxy-Authenticate") != want {
		t.Errorf("%s: %v", to, res.Header)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(in); len(rest) > 0 || err != nil {
		t.Errorf("%s: then %q, %v", to, rest, err)
	}
	return res.StatusCode, string(body), in
}

// TestConnectToServices: by every name, declared and not, what was sent early
// arrives, and the identity is the workload's.
func TestConnectToServices(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		protocol model.AppProtocol
		hello    string
	}{
		{"declared", model.AppTCP, ""},
		{"declared, the server speaks first", model.AppTCP, "220 ready\r\n"},
		{"undeclared", model.AppDetect, ""},
		{"undeclared, the server speaks first", model.AppDetect, "220 ready\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := explicitlyWaiting(t, waitFor(c.hello), echoing(t, c.hello), c.protocol, nil)
			p.a.watch()
			p.b.watch()
			for _, to := range []string{"orders:80", "Orders.Shop:80", "orders.shop.mesh.:80", vip + ":80", "orders.shop.mesh:00080"} {
				early := "\x16\x03\x01 early"
				if c.hello != "" {
					early = ""
				}
				conn := p.a.dial("")
				status, body, in := askTunnel(t, conn, to, password, early)
				if status != 200 {
					t.Fatalf("%s: %d %s", to, status, body)
				}
				got := make([]byte, len(c.hello))
				if _, err := io.ReadFull(in, got); err != nil || string(got) != c.hello {
					t.Fatalf("%s: %q, %v", to, got, err)
				}
				sent := bytes.Repeat([]byte("\x00a byte\n"), 100_000)
				errs := sendAll(conn, sent)
				back, err := io.ReadAll(in)
				if err != nil || string(back) != early+string(sent) {
					t.Fatalf("%s: %d bytes of %d, %v", to, len(back), len(sent), err)
				}
				if err := receive(t, errs); err != nil {
					t.Error(err)
				}
				for _, m := range []*machine{p.a, p.b} {
					if r := receive(t, m.records); r.Source != storefront || r.Destination != ordersID || r.BytesIn != int64(len(early)+len(sent)) || r.Reason != observe.ReasonNone {
						t.Errorf("%s: %+v", to, r)
					}
				}
			}
		})
	}
}

// TestConnectCarriesRequests: HTTP in a tunnel is HTTP, and the password is not
// asked for again.
func TestConnectCarriesRequests(t *testing.T) {
	t.Parallel()
	for _, protocol := range []model.AppProtocol{model.AppHTTP, model.AppDetect} {
		p := explicitly(t, telling(t), protocol, nil)
		p.a.watch()
		conn := p.a.dial("")
		if status, body, _ := askTunnel(t, conn, "orders:80", password, ""); status != 200 {
			t.Fatalf("%d %s", status, body)
		}
		for range 2 {
			if status, body := ask(t, conn, "GET /a HTTP/1.1\r\nHost: anything\r\n\r\n"); status != 200 || !strings.HasPrefix(body, "GET /a host=anything") {
				t.Errorf("%q: %d %s", protocol, status, body)
			}
			if r := receive(t, p.a.records); string(r.Path) != "/a" || r.Source != storefront || r.Destination != ordersID {
				t.Errorf("%q: %+v", protocol, r)
			}
		}
		// So is HTTP/2, as gRPC's clients speak it behind HTTPS_PROXY.
		conn2 := p.a.dial("")
		if status, body, _ := askTunnel(t, conn2, "orders:80", password, ""); status != 200 {
			t.Fatalf("%d %s", status, body)
		}
		client := &http.Transport{Protocols: new(http.Protocols), DialContext: func(context.Context, string, string) (net.Conn, error) { return conn2, nil }}
		client.Protocols.SetUnencryptedHTTP2(true)
		for range 2 {
			r, err := http.NewRequest("POST", "http://orders/b", strings.NewReader("hello"))
			if err != nil {
				t.Fatal(err)
			}
			res, err := client.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(res.Body)
			if res.StatusCode != 200 || res.ProtoMajor != 2 || !strings.HasPrefix(string(body), "POST /b host=orders") || !strings.HasSuffix(string(body), "body=hello") || err != nil {
				t.Errorf("%q: %d %s, %v", protocol, res.StatusCode, body, err)
			}
			receive(t, p.a.records)
		}
		// A tunnel in a tunnel would be the service's affair, which is no proxy.
		if status, body := ask(t, conn, "CONNECT orders:80 HTTP/1.1\r\nHost: orders:80\r\n"+password+"\r\n"); status != 400 || !strings.Contains(body, "bad_upgrade") {
			t.Errorf("%q: %d %s", protocol, status, body)
		}
	}
}

// TestConnectSlowReader: a client that reads slowly holds its server back, and
// gets all of it.
func TestConnectSlowReader(t *testing.T) {
	t.Parallel()
	const size = 32 << 20
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	sent := make(chan int, 1)
	stuck := make(chan struct{})
	go func() {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		n, told, piece := 0, false, make([]byte, 64<<10)
		for n < size {
			_ = conn.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
			m, err := conn.Write(piece)
			if n += m; err != nil && !told {
				close(stuck)
				told = true
			}
		}
		sent <- n
	}()
	p := explicitly(t, ln.Addr().String(), model.AppTCP, nil)
	conn := p.a.dial("")
	status, body, in := askTunnel(t, conn, "orders:80", password, "")
	if status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	select {
	case <-stuck: // somewhere on the way there is no room
	case <-time.After(patience):
		t.Fatal("the server is not held back")
	}
	n, err := io.Copy(io.Discard, in)
	if n != int64(receive(t, sent)) || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
}

// TestConnectIsRefused: each with its status and reason, and without a byte to
// anybody.
func TestConnectIsRefused(t *testing.T) {
	t.Parallel()
	closed := freeport.Hold(t)
	p := explicitly(t, echoing(t, ""), model.AppTCP, nil)
	p.a.watch()
	for _, c := range []struct {
		to, fields string
		status     int
		reason     observe.Reason
	}{
		{"orders:80", "", 407, observe.OutboundUnproven},
		{"orders:80", "Proxy-Authorization: Basic bmFydTpvdGhlcg==\r\n", 407, observe.OutboundUnproven},
		{"orders:80", "Authorization: Basic bmFydTpzZWNyZXQ=\r\n", 407, observe.OutboundUnproven},
		{"nobody.example:443", password, 502, observe.OutboundUnknown},
		{"orders:81", password, 502, observe.OutboundPort},
		{"127.0.0.1:" + closed, password, 502, observe.ConnectRefused},
		{"orders:80", password + "Content-Length: 5\r\n", 400, observe.BadLength},
		{"orders:80", password + "Transfer-Encoding: chunked\r\n", 400, observe.BadTransferCoding},
		{"orders", password, 400, observe.BadTarget},
	} {
		status, body, _ := askTunnel(t, p.a.dial(""), c.to, c.fields, "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
		if status != c.status || !strings.Contains(body, `"`+c.reason.String()+`"`) {
			t.Errorf("%s: %d %s", c.to, status, body)
		}
		r := receive(t, p.a.records)
		if r.Reason != c.reason {
			t.Errorf("%s: %+v", c.to, r)
		}
		if r.Method == nil && (string(r.Host) != c.to || r.Source != storefront) {
			t.Errorf("%s: %+v", c.to, r)
		}
	}
	// As the policy of the service has it.
	p.cfg.Policies = []*model.Policy{{Name: "shop/no", Namespace: "shop", Services: []string{"orders"}, Action: model.Allow}}
	p.b.apply(p.cfg)
	if status, body, _ := askTunnel(t, p.a.dial(""), "orders:80", password, ""); status != 403 || !strings.Contains(body, `"policy_denied"`) {
		t.Errorf("%d %s", status, body)
	}
	if seen, _ := p.relay.passed(); bytes.Contains(seen, []byte("smuggled")) {
		t.Error("something was passed on")
	}
	awaitMetric(t, p.a.registry, "naru_refused_total", "outbound_unproven", 3)
	// Captured connections do not know it.
	p = newMeshPair(t, telling(t), model.AppHTTP, nil)
	if status, body := ask(t, p.a.dial(p.to), "CONNECT orders:80 HTTP/1.1\r\nHost: orders:80\r\n\r\n"); status != 400 || !strings.Contains(body, "bad_upgrade") {
		t.Errorf("%d %s", status, body)
	}
}

// TestConnectToStrangers: by address and by name, one address after the other,
// or not at all.
func TestConnectToStrangers(t *testing.T) {
	t.Parallel()
	secure := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "a stranger") }))
	t.Cleanup(secure.Close)
	_, port, _ := net.SplitHostPort(secure.Listener.Addr().String())
	p := explicitly(t, echoing(t, ""), model.AppTCP, nil)
	p.a.names.Store("example.com", []netip.Addr{netip.MustParseAddr("127.9.9.9"), netip.MustParseAddr("127.0.0.1")})
	p.a.names.Store("looks-like.example", []netip.Addr{netip.MustParseAddr(vip)})
	p.a.watch()
	proxy, err := url.Parse(fmt.Sprintf("http://naru:secret@127.0.0.1:%d", p.a.node.Locals[0].Outbound))
	if err != nil {
		t.Fatal(err)
	}
	transport := secure.Client().Transport.(*http.Transport).Clone()
	transport.Proxy = http.ProxyURL(proxy)
	transport.DisableKeepAlives = true
	client := &http.Client{Transport: transport, Timeout: patience}
	get := func(host string) string {
		res, err := client.Get("https://" + host + ":" + port + "/")
		if err != nil {
			return err.Error()
		}
		defer res.Body.Close()
		body, _ := io.ReadAll(res.Body)
		return string(body)
	}
	for _, host := range []string{"127.0.0.1", "example.com"} {
		if got := get(host); got != "a stranger" {
			t.Errorf("%s: %s", host, got)
		}
		if r := receive(t, p.a.records); r.Endpoint.String() != "127.0.0.1:"+port || r.Source != storefront || r.Destination != "" || string(r.Host) != host+":"+port {
			t.Errorf("%s: %+v", host, r)
		}
	}
	// What a name means may be a service, with all that holds for it.
	conn := p.a.dial("")
	if status, body, in := askTunnel(t, conn, "looks-like.example:80", password, "early"); status != 200 {
		t.Errorf("%d %s", status, body)
	} else if _ = conn.CloseWrite(); true {
		if b, err := io.ReadAll(in); string(b) != "early" || err != nil {
			t.Errorf("%q, %v", b, err)
		}
		if r := receive(t, p.a.records); r.Destination != ordersID {
			t.Errorf("%+v", r)
		}
	}
	p.cfg.Mesh = &model.Mesh{Outbound: model.RegisteredOnly}
	p.a.apply(p.cfg)
	for _, host := range []string{"127.0.0.1", "example.com", "nobody.example"} {
		if status, body, _ := askTunnel(t, p.a.dial(""), host+":"+port, password, ""); status != 502 || !strings.Contains(body, `"outbound_refused"`) {
			t.Errorf("%s: %d %s", host, status, body)
		}
		if r := receive(t, p.a.records); r.Reason != observe.OutboundRefused || r.Source != storefront || string(r.Host) != host+":"+port {
			t.Errorf("%+v", r)
		}
	}
}

// TestExplicitPort: a service's name at a port that is not its own is refused,
// and it is said which is right; without a port it is the service.
func TestExplicitPort(t *testing.T) {
	t.Parallel()
	p := explicitly(t, telling(t), model.AppHTTP, func(p *meshPair) {
		second := *p.cfg.Services[0]
		p.cfg.Services = append(p.cfg.Services, &model.Service{
			Name: second.Name + ":9443", Endpoints: []*model.Endpoint{{Host: "127.0.0.1", Port: 1}},
			Mesh: &model.MeshService{Namespace: second.Mesh.Namespace, Host: second.Mesh.Host, Port: 9443, Protocol: model.AppHTTP, External: true},
		})
	})
	p.a.watch()
	const right = `"code":"outbound_port","detail":"orders is called at ports 80, 9443, and not at `
	for _, c := range []struct {
		to     string
		status int
		want   string
		reason observe.Reason
	}{
		{"http://orders/a", 200, "GET /a", 0},
		{"http://orders:80/b", 200, "GET /b", 0},
		{"http://orders.shop/c", 200, "GET /c", 0},
		{"http://orders:9999/d", 502, right + `9999"`, observe.OutboundPort},
		{"http://ORDERS.:9999/e", 502, right + `9999"`, observe.OutboundPort},
		{"http://orders:0/f", 502, right + `0"`, observe.OutboundPort},
		{"http://orders.shop.mesh:81/g", 502, "orders.shop.mesh is called at ports 80, 9443, and not at 81", observe.OutboundPort},
		// The other port is another service, where nobody is.
		{"http://orders:9443/h", 502, "connect_refused", observe.ConnectRefused},
	} {
		host := strings.TrimPrefix(c.to, "http://")
		host = host[:strings.IndexByte(host, '/')]
		status, got := ask(t, p.a.dial(""), "GET "+c.to+" HTTP/1.1\r\nHost: "+host+"\r\n"+password+"\r\n")
		if status != c.status || !strings.Contains(got, c.want) {
			t.Errorf("%s: %d %s", c.to, status, got)
		}
		if r := receive(t, p.a.records); r.Reason != c.reason || r.Source != storefront || c.reason == observe.OutboundPort && (r.Detail == nil || !strings.Contains(r.Detail.Error(), "is called at ports")) {
			t.Errorf("%s: %+v", c.to, r)
		}
	}
	if status, body, _ := askTunnel(t, p.a.dial(""), "orders:9999", password, ""); status != 502 || !strings.Contains(body, right+`9999"`) {
		t.Errorf("by a tunnel: %d %s", status, body)
	}
	if r := receive(t, p.a.records); r.Reason != observe.OutboundPort || r.Source != storefront {
		t.Errorf("by a tunnel: %+v", r)
	}
}

// TestExplicitRequestsToStrangers: what asks for no tunnel is passed on, too.
func TestExplicitRequestsToStrangers(t *testing.T) {
	t.Parallel()
	stranger := telling(t)
	_, port, _ := net.SplitHostPort(stranger)
	p := explicitly(t, telling(t), model.AppHTTP, func(p *meshPair) {
		p.cfg.Services = append(p.cfg.Services, &model.Service{
			Name: "shop/bytes", Endpoints: []*model.Endpoint{{Host: "127.0.0.1", Port: 1}},
			Mesh: &model.MeshService{Namespace: "shop", Host: "bytes", Port: 81, Protocol: model.AppTCP, External: true},
		})
	})
	p.a.names.Store("example.com", []netip.Addr{netip.MustParseAddr("127.9.9.9"), netip.MustParseAddr("127.0.0.1")})
	p.a.names.Store("orders.example", []netip.Addr{netip.MustParseAddr(vip)})
	p.a.watch()
	conn := p.a.dial("")
	for _, c := range []struct {
		to, host, body string
		status         int
		want           string
		reason         observe.Reason
	}{
		{"http://127.0.0.1:" + port + "/a?b", "127.0.0.1:" + port, "", 200, "GET /a?b host=127.0.0.1:" + port + " forwarded= body=", 0},
		{"http://example.com:" + port + "/c", "example.com:" + port, "hello", 200, "POST /c host=example.com:" + port + " forwarded= body=hello", 0},
		{"http://orders/d", "orders", "", 200, "GET /d host=orders", 0},
		{"http://" + vip + ":80/e", vip, "", 200, "GET /e host=" + vip, 0},
		{"http://nobody.example/", "nobody.example", "hello", 502, "outbound_unknown", observe.OutboundUnknown},
		{"http://orders.example:80/", "orders.example", "", 502, "outbound_unknown", observe.OutboundUnknown},
		{"http://bytes:81/", "bytes:81", "", 404, "no_route", observe.NoRoute},
	} {
		request, body := "GET", ""
		if c.body != "" {
			request, body = "POST", fmt.Sprintf("Content-Length: %d\r\n", len(c.body))
		}
		status, got := ask(t, conn, request+" "+c.to+" HTTP/1.1\r\nHost: "+c.host+"\r\n"+password+body+"\r\n"+c.body)
		if status != c.status || !strings.Contains(got, c.want) {
			t.Errorf("%s: %d %s", c.to, status, got)
		}
		if r := receive(t, p.a.records); r.Reason != c.reason || r.Source != storefront || strings.Contains(c.to, port) && r.Endpoint.String() != stranger {
			t.Errorf("%s: %+v", c.to, r)
		}
	}
	// A body that comes while the name is looked up, and after.
	if _, err := io.WriteString(conn, "POST http://example.com:"+port+"/slow HTTP/1.1\r\nHost: example.com\r\n"+password+"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"); err != nil {
		t.Fatal(err)
	}
	if status, got := ask(t, conn, "6\r\n world\r\n0\r\n\r\n"); status != 200 || !strings.HasSuffix(got, "body=hello world") {
		t.Errorf("%d %s", status, got)
	}
	receive(t, p.a.records)
	p.cfg.Mesh = &model.Mesh{Outbound: model.RegisteredOnly}
	p.a.apply(p.cfg)
	if status, got := ask(t, conn, "GET http://example.com:"+port+"/ HTTP/1.1\r\nHost: example.com\r\n"+password+"\r\n"); status != 502 || !strings.Contains(got, "outbound_refused") {
		t.Errorf("%d %s", status, got)
	}
	awaitMetric(t, p.a.registry, "naru_service_requests_total", "mesh/strangers,200", 3)
}

// TestConnectByHTTP2: a client may have many tunnels in one connection.
func TestConnectByHTTP2(t *testing.T) {
	t.Parallel()
	p := explicitly(t, echoing(t, ""), model.AppTCP, nil)
	conn := p.a.dial("")
	framer := http2.NewFramer(conn, conn)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	if err := framer.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	for i, c := range []struct{ pass, want string }{{"Basic bmFydTpzZWNyZXQ=", "200"}, {"", "407"}, {"Basic bmFydTpzZWNyZXQ=", "200"}} {
		id := uint32(2*i + 1)
		block := block([]string{":method", "CONNECT", ":authority", "orders:80", "proxy-authorization", c.pass})
		if err := framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block, EndHeaders: true}); err != nil {
			t.Fatal(err)
		}
		if err := framer.WriteData(id, c.want == "407", []byte("hello")); err != nil {
			t.Fatal(err)
		}
		status, body := "", ""
		for body == "" {
			f, err := framer.ReadFrame()
			if err != nil {
				t.Fatal(err)
			}
			switch f := f.(type) {
			case *http2.MetaHeadersFrame:
				status = f.PseudoValue("status")
			case *http2.DataFrame:
				body = string(f.Data())
			}
		}
		if status != c.want || (body == "hello") != (status == "200") {
			t.Errorf("%s: %s", status, body)
		}
	}
}

// TestReach: a local port leads its workload, and nobody else, to one service;
// before there is such a service it refuses.
func TestReach(t *testing.T) {
	t.Parallel()
	p := newMeshPair(t, echoing(t, "220 ready\r\n"), model.AppTCP, func(p *meshPair) {
		p.a.node.Locals[0].Reach = []mesh.Reach{
			{Name: "orders", Port: 80, Local: number16(t, freeport.Hold(t))}, {Name: "later.shop", Port: 81, Local: number16(t, freeport.Hold(t))},
		}
	})
	p.a.watch()
	reach := func(i int) (net.Conn, error) {
		d := net.Dialer{Timeout: patience}
		conn, err := d.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", p.a.node.Locals[0].Reach[i].Local))
		if err != nil {
			return nil, err
		}
		t.Cleanup(func() { conn.Close() })
		return conn, conn.SetDeadline(time.Now().Add(patience))
	}
	refused := func(i int, why observe.Reason) {
		t.Helper()
		if conn, err := reach(i); err == nil {
			// Whichever of the two meets the reset first is told of it, and only that one.
			_, wrote := io.WriteString(conn, "QUIT\r\n")
			if b, err := io.ReadAll(conn); len(b) > 0 || wrote == nil && err == nil {
				t.Errorf("%q, %v, %v", b, wrote, err)
			}
		}
		if r := receive(t, p.a.records); r.Reason != why || r.Source != storefront {
			t.Errorf("%+v", r)
		}
	}
	refused(0, observe.OutboundUnproven)
	p.a.lent.Store(true)
	welcomed := func(i int) {
		t.Helper()
		conn, err := reach(i)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len("220 ready\r\n"))
		if _, err := io.ReadFull(conn, got); err != nil || string(got) != "220 ready\r\n" {
			t.Fatalf("%q, %v", got, err)
		}
		conn.Close()
		if r := receive(t, p.a.records); r.Source != storefront || r.Destination != ordersID {
			t.Errorf("%+v", r)
		}
	}
	welcomed(0)
	refused(1, observe.OutboundUnknown)
	p.cfg.Services = append(p.cfg.Services, &model.Service{
		Name: "shop/later", Mesh: &model.MeshService{Namespace: "shop", Host: "later", Port: 81, Protocol: model.AppTCP},
	})
	p.orders.Ports = append(p.orders.Ports, model.WorkloadPort{Service: "shop/later", Port: p.orders.Ports[0].Port})
	orders := *p.orders
	p.cfg.Workloads[0] = &orders
	p.a.node.VIP = func(s string) []netip.Addr {
		return []netip.Addr{netip.MustParseAddr(map[string]string{"orders": vip, "shop/later": "240.0.0.9"}[s])}
	}
	p.a.apply(p.cfg)
	welcomed(1)
}
