package cli

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/naru-mesh/naru/admin"
)

// TestStatusOfProxies shows who is silent, who is a gateway, and who has joined and
// is not there.
func TestStatusOfProxies(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	c := &cobra.Command{}
	c.SetOut(&out)
	s := &admin.PlaneStatus{Configuration: "c1", Replicas: []admin.ReplicaStatus{{Name: "plane"}}, Proxies: []admin.ProxyStatus{
		{Node: "edge-1", Gateway: true, Replica: "plane", Configuration: "c1"},
		{Node: "web-1", Replica: "plane", Configuration: "c1", Silent: 17200 * time.Millisecond},
	}}
	for i := range mostAway + 2 {
		s.Away = append(s.Away, fmt.Sprintf("db-%d", i))
	}
	writeStatus(c, s, time.Now())
	text := out.String()
	for _, want := range []string{"edge-1 (gateway)  plane", "silent for 17s", "\naway: db-0, db-1,", "db-19 and 2 more (joined, and connected to no control plane)"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	out.Reset()
	s.Away, s.Replicas = []string{"db-0"}, append(s.Replicas, admin.ReplicaStatus{Name: "plane-2", Error: "away"})
	if writeStatus(c, s, time.Now()); !strings.Contains(out.String(), "\naway: db-0 (joined, and connected to no control plane that could be asked)") {
		t.Error(out.String())
	}
}
