package admin

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/naru-mesh/naru/model"
)

func sources() Sources {
	return Sources{
		Metrics:  http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "naru_up 1\n") }),
		Ready:    func() (bool, string) { return false, "no configuration yet" },
		Snapshot: func() *model.Snapshot { return nil },
		Problems: func() []model.Problem { return nil },
		Status:   func() any { return map[string]string{"version": "x"} },
		Log:      slog.New(slog.DiscardHandler),
	}
}

func get(t *testing.T, h http.Handler, path string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	return w.Code, w.Body.String()
}

func TestPages(t *testing.T) {
	t.Parallel()
	h := Handler(sources())
	for _, c := range []struct {
		path string
		code int
		has  string
	}{
		{"/", 200, "/metrics"},
		{"/healthz", 200, "ok"},
		{"/readyz", 503, "no configuration yet"},
		{"/metrics", 200, "naru_up 1"},
		{"/config", 503, "no configuration yet"},
		{"/problems", 200, "[]"},
		{"/status", 200, `"version": "x"`},
		{"/nowhere", 404, ""},
	} {
		code, body := get(t, h, c.path)
		if code != c.code || !strings.Contains(body, c.has) {
			t.Errorf("GET %s: %d %q, want %d with %q", c.path, code, body, c.code, c.has)
		}
	}
}

func TestDumpHidesSecrets(t *testing.T) {
	t.Parallel()
	src := sources()
	src.Snapshot = func() *model.Snapshot {
		return &model.Snapshot{Version: "v1", Config: model.Config{
			Certificates: []*model.Certificate{{Name: "cert", Chain: []byte("CHAINPEM"), Key: []byte("KEYPEM")}},
			Routes: []*model.Route{{
				Name: "r",
				Filters: []model.Filter{{RequestHeaders: &model.HeaderEdit{Set: []model.Field{
					{Name: "Authorization", Value: "Basic c2VjcmV0"}, {Name: "X-Team", Value: "shop"}, {Name: "X-Up", Value: "bearer b34r3r"},
				}}}},
				Matches: []model.Match{{Cookies: []model.FieldMatch{{Name: "session", Value: "s3cr3t"}, {Name: "sid", Value: "c00k13"}}}},
			}},
		}}
	}
	code, body := get(t, Handler(src), "/config")
	if code != 200 {
		t.Fatalf("code %d", code)
	}
	for _, secret := range []string{"KEYPEM", "c2VjcmV0", "s3cr3t", "b34r3r", "c00k13"} {
		if strings.Contains(body, secret) {
			t.Errorf("the dump shows %q", secret)
		}
	}
	for _, shown := range []string{"X-Team", "shop", hidden, `"version": "v1"`} {
		if !strings.Contains(body, shown) {
			t.Errorf("the dump lacks %q:\n%s", shown, body)
		}
	}
}

func TestListenErrorSaysWhat(t *testing.T) {
	t.Parallel()
	_, err := Listen("127.0.0.1:99999", sources())
	if err == nil || !strings.Contains(err.Error(), "admin server") {
		t.Fatalf("error %v", err)
	}
	s, err := Listen("127.0.0.1:0", sources())
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve() }()
	resp, err := http.Get("http://" + s.Addr() + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	req, err := http.NewRequest("GET", "http://"+s.Addr()+"/config", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "rebound.example"
	if resp, err = http.DefaultClient.Do(req); err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusMisdirectedRequest {
		t.Errorf("a foreign Host got %d", resp.StatusCode)
	}
	s.Close()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
