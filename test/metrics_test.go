package test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

func TestMetrics(t *testing.T) {
	t.Parallel()
	up := serve(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "four") })
	g := start(t, "listen: $LISTEN\nroutes:\n- name: shop\n  match: /\n  to: shop\n- match: /direct\n  respond: 200 direct\nservices:\n  shop: "+up.addr+"\n")
	c := g.dial()
	for range 10 {
		c.send("POST / HTTP/1.1\nHost: a\nContent-Length: 3\n\nabc")
		c.answer("POST").is(t, 200, "four")
	}
	c.get("/direct")
	var m metrics
	eventually(t, "all are counted", func() bool { m = g.metrics(); return m.value("naru_requests_total") == 11 })
	for _, want := range []struct {
		value  float64
		family string
		labels []string
	}{
		{10, "naru_requests_total", []string{"route", "shop"}},
		{10, "naru_service_requests_total", []string{"service", "shop"}},
		{11, "naru_request_duration_seconds", nil},
		{1, "naru_listener_connections", []string{"address", g.addr}},
		{1, "naru_service_endpoint_healthy", []string{"service", "shop", "endpoint", up.addr}},
		{10, "naru_service_endpoint_picks_total", []string{"service", "shop"}},
		{0, "naru_loop_panics_total", nil},
		{2, "naru_config_objects", []string{"kind", "route"}},
	} {
		if m[want.family] == nil {
			t.Errorf("there is no %s", want.family)
		} else if got := m.value(want.family, want.labels...); got != want.value {
			t.Errorf("%s%v is %v, want %v", want.family, want.labels, got, want.value)
		}
	}
	if m.value("process_resident_memory_bytes") == 0 || m.value("naru_loop_cpu_seconds_total") == 0 {
		t.Error("nothing about the process")
	}
	for name, f := range m {
		if f.GetHelp() == "" {
			t.Errorf("%s has no help", name)
		}
	}
}

// TestMetricsAreBounded: hostile clients cannot make new series.
func TestMetricsAreBounded(t *testing.T) {
	t.Parallel()
	g := before(t, witness(t))
	series := func() int {
		n := 0
		for _, f := range g.metrics() {
			n += len(f.Metric)
		}
		return n
	}
	ask := func(i int) {
		c := g.dial()
		c.send(fmt.Sprintf("M%d /path%d?q%d HTTP/1.1\nHost: host%d.example\nX-%d: %d\n\n", i, i, i, i, i, i))
		c.answer("GET")
		c.Close()
	}
	for i := range 4 { // both loops have seen one
		ask(i)
	}
	eventually(t, "they are counted", func() bool { return g.metrics().value("naru_requests_total") == 4 })
	first := series()
	for i := range 200 {
		ask(100 + i)
	}
	eventually(t, "they are counted", func() bool { return g.metrics().value("naru_requests_total") == 204 })
	if now := series(); now > first+10 {
		t.Errorf("%d series became %d", first, now)
	}
	if _, page := g.page("/metrics"); strings.Contains(page, "host1") || strings.Contains(page, "path1") {
		t.Error("what clients sent is in the metrics")
	}
}

func TestConfigDumpHasNoSecrets(t *testing.T) {
	t.Parallel()
	chain, key := certificate(t, 1, "a.example")
	indent := func(s string) string { return strings.ReplaceAll(strings.TrimSpace(s), "\n", "\n      ") }
	g := start(t, "listen:\n- address: https://$LISTEN\n  tls:\n    cert: |\n      "+indent(chain)+"\n    key: |\n      "+indent(key)+
		"\nroutes:\n- match: /\n  respond: 200\n  headers: {request: {set: {Authorization: Bearer-of-the-secret}}}\n")
	status, page := g.page("/config")
	if status != 200 || !strings.Contains(page, `"routes"`) {
		t.Fatalf("%d %s", status, page)
	}
	secret := strings.Split(strings.TrimSpace(key), "\n")[1]
	for _, s := range []string{secret, "PRIVATE KEY", "Bearer-of-the-secret"} {
		if strings.Contains(page, s) {
			t.Errorf("the configuration shows %q", s)
		}
	}
	for _, path := range []string{"/status", "/problems", "/"} {
		if status, _ := g.page(path); status != 200 {
			t.Errorf("%s: %d", path, status)
		}
	}
	host, _, err := net.SplitHostPort(strings.TrimPrefix(g.admin, "http://"))
	if err != nil || host != "127.0.0.1" {
		t.Errorf("the admin server listens on %q", host)
	}
}

func TestTooManyConnections(t *testing.T) {
	t.Parallel()
	g := start(t, "listen: $LISTEN\nlimits: {connections: 3}\nroutes:\n- match: /\n  respond: 200 ok\n")
	var open []*client
	for range 3 {
		c := g.dial()
		c.get("/").is(t, 200, "ok")
		open = append(open, c)
	}
	c := g.dial()
	c.answer("GET").refused(t, 503, "too_many_connections")
	c.closed()
	eventually(t, "it is counted", func() bool { return g.metrics().refusals()["too_many_connections"] == 1 })
	open[1].Close()
	eventually(t, "there is room again", func() bool {
		c := g.dial()
		defer c.Close()
		_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n") // it may be refused already, and closed
		a, err := c.read("GET")
		return err == nil && a.StatusCode == 200
	})
	open[0].get("/").is(t, 200, "ok")
}

func TestAccessLog(t *testing.T) {
	t.Parallel()
	up := witness(t)
	g := start(t, "listen: $LISTEN\nlog: json\nroutes:\n- name: r\n  match: /\n  to: http://"+up.addr+"\n")
	c := g.dial()
	c.send("POST /a%22b?c=\"d\" HTTP/1.1\nHost: a.example\nUser-Agent: x\xff\"\\\t<é>\nContent-Length: 3\n\nabc")
	c.answer("POST")
	line := said(t, g.out, `"path":"/a%22b"`)
	entry := decode(t, line)
	for key, want := range map[string]any{
		"method": "POST", "query": `c="d"`, "host": "a.example", "status": 200.0, "bytes_in": 3.0, "protocol": "HTTP/1.1", "scheme": "http",
		"route": "r", "service": "http://" + up.addr, "endpoint": up.addr, "attempts": 1.0, "client": "127.0.0.1",
	} {
		if entry[key] != want {
			t.Errorf("%s is %v, want %v, in %s", key, entry[key], want, line)
		}
	}
	if agent, _ := entry["user_agent"].(string); !strings.HasPrefix(agent, "x") || !strings.HasSuffix(agent, "\"\\\t<é>") {
		t.Errorf("user_agent %q", entry["user_agent"])
	}
	c.send("GET / HTTP/1.1\nHost: a\nX : y\n\n")
	c.answer("GET").refused(t, 400, "bad_field")
	entry = decode(t, said(t, g.out, "bad_field"))
	if entry["status"] != 400.0 || entry["reason"] != "bad_field" {
		t.Errorf("%v", entry)
	}
}

func TestAccessLogText(t *testing.T) {
	t.Parallel()
	g := start(t, "listen: $LISTEN\nlog: {format: text, file: $DIR/access.log}\nroutes:\n- match: /\n  respond: 200 hello\n")
	file := filepath.Join(g.dir, "access.log")
	g.ask("GET", "/a?b", "User-Agent: a\"\\ b")
	var text string
	eventually(t, "the line is in the file", func() bool { text = read(t, file); return strings.Count(text, "\n") == 1 })
	if !strings.HasPrefix(text, "127.0.0.1 - - [") || !strings.Contains(text, `"GET /a?b HTTP/1.1" 200 5 `) ||
		!strings.Contains(text, " reason=responded ") || strings.Contains(text, `agent="a"\`) {
		t.Errorf("%s", text)
	}
	// Rotation: the name moves away, a signal makes a new file.
	move(t, file, file+".1")
	g.signal(hangup)
	eventually(t, "a new file is there", func() bool { return exists(file) })
	g.ask("GET", "/second")
	eventually(t, "it is written to", func() bool { return strings.Contains(read(t, file), "/second") })
}
