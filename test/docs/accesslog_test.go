package docs

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/naru-mesh/naru/export"
	"github.com/naru-mesh/naru/observe"
)

// Every field that a line of the access log can have stands in the table of its
// page.
func TestAccessLogFields(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join(root, "docs/how-to/access-log.md"))
	if err != nil {
		t.Fatal(err)
	}
	at := netip.MustParseAddrPort("127.0.0.1:9001")
	request := observe.Record{
		Start: time.Unix(1, 0), Duration: time.Second, Upstream: time.Second, Attempts: 2, Retried: "status", NotRetried: observe.RetryBudget, Chosen: "only",
		Flags: observe.FlagURX, Method: []byte("GET"), Host: []byte("a"), Path: []byte("/"), Query: []byte("q"), UserAgent: []byte("u"), RequestID: []byte("r"),
		Scheme: "http", Remote: at, Client: at.Addr(), Subject: "s", Status: 200, Reason: observe.NoRoute, Detail: errors.New("d"), GRPC: true, GRPCMethod: []byte("m"),
		Listener: "l", Route: "r", Service: "s", Endpoint: at, Source: "s", Destination: "d",
	}
	flow := observe.Record{Start: time.Unix(1, 0), Scheme: "tcp", Flow: "f", Remote: at}
	seen := 0
	for _, r := range []*observe.Record{&request, &flow} {
		var out bytes.Buffer
		log, err := export.NewAccessLog(export.AccessLogOptions{Output: &out})
		if err != nil {
			t.Fatal(err)
		}
		log.Write(r)
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
		var fields map[string]any
		if err := json.Unmarshal(out.Bytes(), &fields); err != nil {
			t.Fatalf("%s: %v", out.Bytes(), err)
		}
		for name := range fields {
			seen++
			if !strings.Contains(string(page), "`"+name+"`") {
				t.Errorf("docs/how-to/access-log.md does not tell what %s is", name)
			}
		}
	}
	if seen < 30 {
		t.Errorf("only %d fields", seen)
	}
}
