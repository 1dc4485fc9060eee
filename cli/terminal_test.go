package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/naru-mesh/naru/admin"
)

// TestTerminal: what a person reads, with and without colours.
func TestTerminal(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 4, 15, 6, 7, 0, time.UTC)
	say := func(h slog.Handler, l slog.Level, message string, list ...any) {
		r := slog.NewRecord(at, l, message, 0)
		r.Add(list...)
		if err := h.Handle(context.Background(), r); err != nil {
			t.Error(err)
		}
	}
	all := func(h slog.Handler) {
		say(h, slog.LevelInfo, "configuration applied", "routes", 2, "took", 3*time.Millisecond)
		say(h, slog.LevelError, "naru.yaml:3:5: error: there is no service ordrs (did you mean orders?)", "code", "unknown-service")
		say(h, slog.LevelWarn, "a b", "error", errors.New(`x "y"`), "empty", "", "bad", "\x1b[2J")
		say(h.WithAttrs([]slog.Attr{slog.String("listener", ":80")}).WithGroup("tls"), slog.LevelDebug, "esc\x1b[2Jape", "name", "a", slog.Group("sni", "b", 1))
		say(h, slog.LevelError, "panic", "stack", "one\n\ttwo\n", "loop", 1)
		say(h, slog.LevelInfo, "nothing else")
	}
	var plain, colour bytes.Buffer
	all(newTerminal(&plain, slog.LevelDebug, false))
	want := `15:06:07 INFO  configuration applied                    routes=2 took=3ms
15:06:07 ERROR naru.yaml:3:5: error: there is no service ordrs (did you mean orders?) code=unknown-service
15:06:07 WARN  a b                                      error="x \"y\"" empty="" bad="\x1b[2J"
15:06:07 DEBUG esc` + "\uFFFD" + `[2Jape                               listener=:80 tls.name=a tls.sni.b=1
15:06:07 ERROR panic                                    loop=1
    one
    	two
15:06:07 INFO  nothing else
`
	if plain.String() != want {
		t.Errorf("got\n%s\nwant\n%s", plain.String(), want)
	}
	all(newTerminal(&colour, slog.LevelDebug, true))
	if !strings.HasPrefix(colour.String(), "15:06:07 \x1b[32mINFO\x1b[0m  configuration applied                    \x1b[2mroutes=\x1b[0m2 ") ||
		!strings.Contains(colour.String(), "\x1b[31mERROR\x1b[0m ") || !strings.Contains(colour.String(), "\x1b[33mWARN\x1b[0m  ") {
		t.Errorf("%q", colour.String())
	}
	if newTerminal(io.Discard, slog.LevelWarn, false).Enabled(context.Background(), slog.LevelInfo) {
		t.Error("messages below the level are written")
	}
}

// TestNoTerminal: files and pipes get what programs read.
func TestNoTerminal(t *testing.T) {
	t.Parallel()
	f, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for name, w := range map[string]io.Writer{"file": f, "buffer": &bytes.Buffer{}} {
		if isTerminal(w) {
			t.Errorf("a %s is taken for a terminal", name)
		}
		log, err := logger(w, "info", false)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := log.Handler().(*slog.TextHandler); !ok {
			t.Errorf("to a %s writes %T", name, log.Handler())
		}
	}
}

// TestStatusIsPlain: a machine that was taken over does not steer the terminal of
// whoever asks how it is.
func TestStatusIsPlain(t *testing.T) {
	t.Parallel()
	const bad = "1.0\x1b[2J\x1b]0;a\x07\r\nroot good: active"
	var out bytes.Buffer
	cmd := newStatus()
	cmd.SetOut(&out)
	writeStatus(cmd, &admin.PlaneStatus{
		TrustDomain: "naru.local", Replica: "plane-1",
		Replicas: []admin.ReplicaStatus{{Name: "plane-1", Version: bad}, {Name: "plane-2", Version: bad, Error: bad}},
		Proxies:  []admin.ProxyStatus{{Node: "web-1", Replica: "plane-1", Version: bad, Configuration: bad, Refusals: []string{bad}, Denied: []string{bad}}},
	}, time.Now())
	if strings.ContainsAny(out.String(), "\x1b\x07\r") || strings.Contains(out.String(), "\nroot good") {
		t.Errorf("%q", out.String())
	}
}
