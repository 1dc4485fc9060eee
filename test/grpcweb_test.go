package test

import (
	"bytes"
	"encoding/base64"
	be "encoding/binary"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/proto"

	"github.com/naru-mesh/naru/examples/grpc/orders"
)

// webFrame is a message as gRPC-Web has it.
func webFrame(t *testing.T, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return append(be.BigEndian.AppendUint32([]byte{0}, uint32(len(b))), b...)
}

// webCall makes a gRPC-Web call, as pages do.
func webCall(t *testing.T, url, typ string, body io.Reader) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(brief(t), "POST", url, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", typ)
	req.Header.Set("Origin", "https://page.example")
	req.Header.Set("X-Grpc-Web", "1")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	all, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, all
}

// webMessages gives the messages of a gRPC-Web body, and its trailers.
func webMessages(t *testing.T, b []byte) (messages [][]byte, trailers string) {
	t.Helper()
	for len(b) > 0 {
		if len(b) < 5 || len(b)-5 < int(be.BigEndian.Uint32(b[1:])) {
			t.Fatalf("%q is cut", b)
		}
		n := int(be.BigEndian.Uint32(b[1:]))
		if b[0] == 0x80 {
			trailers = string(b[5 : 5+n])
		} else {
			messages = append(messages, b[5:5+n])
		}
		b = b[5+n:]
	}
	return messages, trailers
}

// TestGRPCWeb calls over HTTP/1.1, in both forms.
func TestGRPCWeb(t *testing.T) {
	t.Parallel()
	addr, _ := grpcService(t)
	g := start(t, grpcConfig(addr, ", grpc: web, cors: {origins: https://page.example}"))
	url := "http://" + g.addr + "/orders.v1.Orders/"

	res, b := webCall(t, url+"Get", "application/grpc-web+proto", bytes.NewReader(webFrame(t, &orders.GetRequest{Id: 2})))
	messages, trailers := webMessages(t, b)
	var o orders.Order
	if len(messages) != 1 || proto.Unmarshal(messages[0], &o) != nil || o.Item != "milk" || !strings.HasPrefix(trailers, "grpc-status: 0\r\n") {
		t.Errorf("Get: %d %q %q", res.StatusCode, b, trailers)
	}
	if typ := res.Header.Get("Content-Type"); typ != "application/grpc-web+proto" && typ != "application/grpc-web" {
		t.Errorf("Content-Type %q", typ)
	}
	if res.Header.Get("Access-Control-Allow-Origin") != "https://page.example" || !strings.Contains(res.Header.Get("Access-Control-Expose-Headers"), "grpc-status") {
		t.Errorf("a page may not read it: %v", res.Header)
	}

	// The base64 comes in pieces that end within a group.
	text := base64.StdEncoding.EncodeToString(webFrame(t, &orders.ListRequest{State: orders.State_OPEN}))
	in, out := io.Pipe()
	go func() {
		for _, c := range text {
			io.WriteString(out, string(c))
		}
		out.Close()
	}()
	res, b = webCall(t, url+"List", "application/grpc-web-text", in)
	var decoded []byte
	for rest := string(b); rest != ""; {
		n := strings.Index(rest, "=")
		for n >= 0 && n < len(rest) && rest[n] == '=' {
			n++
		}
		if n < 0 {
			n = len(rest)
		}
		part, err := base64.StdEncoding.DecodeString(rest[:n])
		if err != nil {
			t.Fatalf("%q: %v", b, err)
		}
		decoded, rest = append(decoded, part...), rest[n:]
	}
	if messages, trailers = webMessages(t, decoded); len(messages) != 2 || !strings.HasPrefix(trailers, "grpc-status: 0\r\n") {
		t.Errorf("List: %d %q", res.StatusCode, decoded)
	}

	// A call that fails, one that the service cannot be asked, and no gRPC-Web.
	res, b = webCall(t, url+"Get", "application/grpc-web", bytes.NewReader(webFrame(t, &orders.GetRequest{Id: 9})))
	if _, trailers = webMessages(t, b); res.Header.Get("grpc-status") != "5" && !strings.HasPrefix(trailers, "grpc-status: 5\r\n") {
		t.Errorf("Get of nothing: %v %q", res.Header, b)
	}
	res, b = webCall(t, url+"Get", "application/grpc-web-text", strings.NewReader("****"))
	if res.StatusCode != 200 || res.Header.Get("grpc-status") != "3" || res.Header.Get("x-naru-reason") != "bad_message" || len(b) > 0 {
		t.Errorf("no base64: %d %v %q", res.StatusCode, res.Header, b)
	}
}

// TestTranscode calls a gRPC service with JSON.
func TestTranscode(t *testing.T) {
	t.Parallel()
	addr, _ := grpcService(t)
	file, err := os.ReadFile("../examples/grpc/orders.pb")
	if err != nil {
		t.Fatal(err)
	}
	g := prepare(t, grpcConfig(addr, ", transcode: {descriptors: orders.pb, services: orders.v1.Orders}"))
	g.saveAs(filepath.Join(g.dir, "orders.pb"), string(file))
	g.run("run", g.file)
	for _, c := range []struct {
		method, path, accept, body string
		status                     int
		typ, want                  string
	}{
		{"GET", "/v1/orders/1", "", "", 200, "application/json", `{"id":"1","item":"tea","count":2,"state":"OPEN"}` + "\n"},
		{"GET", "/v1/orders/9", "", "", 404, "application/json", `{"code":5,"message":"there is no order 9"}` + "\n"},
		{"GET", "/v1/orders/x", "", "", 400, "application/json", `{"code":3,"message":"orders.v1.GetRequest.id cannot be \"x\""}` + "\n"},
		{"POST", "/v1/orders", "", `{"item":"rice","count":3}`, 200, "application/json", `{"id":"3","item":"rice","count":3,"state":"OPEN"}` + "\n"},
		{"POST", "/v1/orders", "", `{"item":""}`, 400, "application/json", `{"code":3,"message":"an order has an item and a count"}` + "\n"},
		{"POST", "/v1/orders/3:cancel", "", `{"reason":"late"}`, 200, "application/json", `{"id":"3","item":"rice","count":3,"state":"CANCELLED"}` + "\n"},
		{"GET", "/v1/orders?state=OPEN", "", "", 200, "application/json", `[{"id":"1","item":"tea","count":2,"state":"OPEN"},` + "\n" + `{"id":"2","item":"milk","count":1,"state":"OPEN"}]` + "\n"},
		{"GET", "/v1/orders?state=CANCELLED", "application/x-ndjson", "", 200, "application/x-ndjson", `{"id":"3","item":"rice","count":3,"state":"CANCELLED"}` + "\n"},
		{"DELETE", "/v1/orders/1", "", "", 405, "application/json", `{"code":12,"message":"this path has no rule for DELETE"}` + "\n"},
		{"GET", "/nothing", "", "", 404, "application/json", `{"code":5,"message":"no method has a rule for this path"}` + "\n"},
	} {
		req, err := http.NewRequestWithContext(brief(t), c.method, "http://"+g.addr+c.path, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", c.accept)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != c.status || res.Header.Get("Content-Type") != c.typ || string(b) != c.want {
			t.Errorf("%s %s: %d %s %q %v, want %d %s %q", c.method, c.path, res.StatusCode, res.Header.Get("Content-Type"), b, err, c.status, c.typ, c.want)
		}
	}
	// The same route takes gRPC as it is.
	if o, err := g.calls().Get(brief(t), &orders.GetRequest{Id: 2}); err != nil || o.Item != "milk" {
		t.Errorf("gRPC: %v, %v", o, err)
	}
}

// TestGRPCHealth: an endpoint that says that it does not serve gets nothing.
func TestGRPCHealth(t *testing.T) {
	t.Parallel()
	one, healthOne := grpcService(t)
	two, _ := grpcService(t)
	healthOne.SetServingStatus("orders.v1.Orders", healthpb.HealthCheckResponse_NOT_SERVING)
	g := start(t, "listen: $LISTEN\nroutes:\n- {match: /, to: orders}\nservices:\n  orders: {endpoints: [\""+one+"\", \""+two+"\"], protocol: http2, health: {grpc: orders.v1.Orders, interval: 20ms, unhealthy: 1, healthy: 1}}\n")
	wait := func(value string) {
		t.Helper()
		eventually(t, "the endpoint's health is "+value, func() bool {
			_, text := g.page("/metrics")
			return strings.Contains(text, `naru_service_endpoint_healthy{service="orders",endpoint="`+one+`"} `+value)
		})
	}
	wait("0")
	healthOne.SetServingStatus("orders.v1.Orders", healthpb.HealthCheckResponse_SERVING)
	wait("1")
}
