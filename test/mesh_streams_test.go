package test

import (
	"bufio"
	"context"

	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
)

// actLast is a service whose responses have no end.
func actLast(port, protocol string) error {
	ln, err := net.Listen("tcp", ":"+port)
	if err != nil {
		return err
	}
	if protocol == "grpc" {
		calls := grpc.NewServer()
		healthpb.RegisterHealthServer(calls, health.NewServer())
		return calls.Serve(ln)
	}
	mux := http.NewServeMux()
	begin := func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "data: first\n\n")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}
	mux.HandleFunc("/long", begin)
	mux.HandleFunc("/events", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		begin(w, r)
	})
	mux.HandleFunc("/upload", func(w http.ResponseWriter, r *http.Request) {
		fmt.Println("an upload has begun")
		_, _ = io.Copy(io.Discard, r.Body)
	})
	mux.HandleFunc("/socket", func(w http.ResponseWriter, r *http.Request) {
		conn, buf, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		fmt.Fprint(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nfirst\n")
		_, _ = io.Copy(conn, buf)
	})
	return http.Serve(ln, mux)
}

// actHold has one exchange of each kind run, and prints how each begins and
// ends. What it is told by standard input it says on the WebSocket.
func actHold(addr, rpc string) error {
	var all sync.WaitGroup
	lines := func(what string, from io.Reader) {
		in := bufio.NewReader(from)
		for {
			line, err := in.ReadString('\n')
			if line = strings.TrimSpace(line); line != "" {
				fmt.Println(what, "says", line)
			}
			if err != nil {
				fmt.Println(what, "over:", err)
				return
			}
		}
	}
	for _, what := range []string{"events", "long"} {
		all.Go(func() {
			res, err := http.Get("http://" + addr + "/" + what)
			if err != nil {
				fmt.Println(what, "over:", err)
				return
			}
			defer res.Body.Close()
			lines(what, res.Body)
		})
	}
	all.Go(func() {
		body, feed := io.Pipe()
		defer feed.Close()
		res, err := http.Post("http://"+addr+"/upload", "text/plain", body)
		if err != nil {
			fmt.Println("upload over:", err)
			return
		}
		defer res.Body.Close()
		text, _ := io.ReadAll(res.Body)
		fmt.Println("upload over:", res.StatusCode, string(text))
	})
	all.Go(func() {
		conn, err := net.DialTimeout("tcp", addr, patience)
		if err != nil {
			fmt.Println("socket over:", err)
			return
		}
		defer conn.Close()
		fmt.Fprintf(conn, "GET /socket HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", addr)
		go func() {
			in := bufio.NewScanner(os.Stdin)
			for in.Scan() {
				fmt.Fprintln(conn, in.Text())
			}
		}()
		lines("socket", conn)
	})
	all.Go(func() {
		conn, err := grpc.NewClient("passthrough:///"+rpc, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			fmt.Println("call over:", err)
			return
		}
		defer conn.Close()
		watch, err := healthpb.NewHealthClient(conn).Watch(context.Background(), &healthpb.HealthCheckRequest{})
		for err == nil {
			var m *healthpb.HealthCheckResponse
			if m, err = watch.Recv(); err == nil {
				fmt.Println("call says", m.Status)
			}
		}
		fmt.Println("call over:", status.Code(err), status.Convert(err).Message())
	})
	all.Wait()
	return nil
}

// TestMeshPolicyStreams: what lasts is ended when a new policy forbids it, each
// kind in its own way, and goes on where policies change that do not.
func TestMeshPolicyStreams(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	const config = `mesh: {}
services:
  feed: {mesh: {port: 9105, protocol: http}}
  calls: {mesh: {port: 9106, protocol: grpc}}
`
	run := h.mesh(config)
	service := h.perform([]string{"--service", "feed", "--port", "9105"}, "last", "9105", "http")
	h.perform([]string{"--service", "calls", "--port", "9106"}, "last", "9106", "grpc")
	h.serving("feed", 1)
	h.serving("calls", 1)
	hears := func(who *running, lines ...string) {
		t.Helper()
		for _, line := range lines { // in any order
			eventually(t, line, func() bool { return strings.Contains(who.out.text(), line) })
		}
	}
	begin := func(account string) *running {
		p := h.perform([]string{"--account", account}, "hold", "feed:9105", "calls:9106")
		hears(p, "events says data: first", "long says data: first", "socket says first", "call says SERVING")
		return p
	}

	web, orders := begin("web"), begin("orders")
	eventually(t, "both upload", func() bool { return strings.Count(service.out.text(), "an upload has begun") == 2 })

	change := func(policies string) {
		before := h.status().Configuration
		run.change(config+"policies:\n"+policies, "the policies are in force", func() bool {
			s := h.status()
			return s.Configuration != before && s.Proxies[0].Configuration == s.Configuration
		})
	}
	goesOn := func(who *running, word string) {
		t.Helper()
		fmt.Fprintln(who.in, word)
		hears(who, "socket says "+word)
		if strings.Contains(who.out.text(), "over:") {
			t.Errorf("something has ended:\n%s", who.out.text())
		}
	}
	// A dry run, a deny of somebody else and one of another path end nothing.
	change(`- {name: dry, to: "*", deny: web, dryRun: true}
- {name: others, to: "*", deny: mallory}
- {name: path, to: feed, deny: web, paths: /secret, tell: true}
`)
	goesOn(web, "one")
	goesOn(orders, "one")
	eventually(t, "the dry run counts what it would end", func() bool {
		return run.value("naru_policy_decisions_total", "policy", "default/dry", "result", "would_refuse") == 5
	})
	// One by method and path ends what it names.
	change(`- {name: path, to: feed, deny: web, methods: POST, paths: /upload, tell: true}
`)
	hears(web, "upload over: 403 ")
	if !strings.Contains(web.out.text(), `"policy":"default/path"`) {
		t.Errorf("the policy is not named:\n%s", web.out.text())
	}
	if text := web.out.text(); strings.Count(text, "over:") != 1 {
		t.Errorf("more than that has ended:\n%s", text)
	}
	goesOn(orders, "two")
	change(`- {name: only-orders, to: "*", allow: orders}
`)
	hears(web, "events over: EOF", "long over: unexpected EOF", "socket over: ", "call over: PermissionDenied ")
	if status := web.ended(); status != 0 {
		t.Errorf("status %d", status)
	}
	goesOn(orders, "three")
	for _, path := range []string{"/events", "/long", "/socket", "/upload", "/grpc.health.v1.Health/Watch"} {
		var line string
		eventually(t, path+" is in the log", func() bool {
			for line = range strings.Lines(run.out.text()) {
				if strings.Contains(line, `"reason":"policy_denied"`) && strings.Contains(line, `"path":"`+path+`"`) {
					return true
				}
			}
			return false
		})
		if !strings.Contains(line, `"source":"spiffe://naru.local/ns/default/sa/web"`) || !strings.Contains(line, "policy default/") {
			t.Errorf("the log says of %s: %q", path, line)
		}
	}
	run.counted(5, "naru_refused_total", "reason", "policy_denied")
	run.counted(4, "naru_policy_decisions_total", "policy", "default/only-orders", "result", "refused")
}

// TestMeshPolicyIdle: a pooled connection of a caller who may not call any more
// is closed, and one of a caller who may do something stays.
func TestMeshPolicyIdle(t *testing.T) {
	t.Parallel()
	p := newMeshPair(t, telling(t), model.AppHTTP, nil)
	conn := p.a.dial(p.to)
	get := "GET / HTTP/1.1\r\nHost: orders\r\n\r\n"
	status := func() int {
		code, _ := ask(t, conn, get)
		return code
	}
	deny := func(name string, rule model.PolicyRule) {
		rule.Principals = []string{"shop/storefront"}
		p.cfg.Policies = []*model.Policy{{Name: name, Services: []string{"orders"}, Action: model.Deny, Rules: []model.PolicyRule{rule}}}
		p.b.apply(p.cfg)
	}
	open := func() int {
		for _, b := range p.b.proxy.Bound() {
			return b.Conns
		}
		return -1
	}
	if code := status(); code != 200 || open() != 1 {
		t.Fatalf("%d, %d connections", code, open())
	}
	deny("some", model.PolicyRule{Methods: []string{"POST"}})
	if code := status(); code != 200 || open() != 1 {
		t.Errorf("a policy about something else: %d, %d connections", code, open())
	}
	if _, all := p.relay.passed(); all != 1 {
		t.Errorf("%d connections were made", all)
	}
	deny("all", model.PolicyRule{})
	eventually(t, "the connection is closed", func() bool { return open() == 0 })
	p.b.watch()
	if code := status(); code != 403 {
		t.Errorf("then: %d", code)
	}
	if r := receive(t, p.b.records); r.Reason != observe.PolicyDenied {
		t.Errorf("for the reason %v", r.Reason)
	}
	p.cfg.Policies = nil
	p.b.apply(p.cfg)
	if code := status(); code != 200 {
		t.Errorf("allowed again: %d", code)
	}
}
