package model

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// doors is a valid Config with flows of every kind.
func doors() *Config {
	pem := func(kind string) []byte {
		return []byte("-----BEGIN " + kind + "-----\nAAAA\n-----END " + kind + "-----\n")
	}
	to := []Backend{{Service: "db", Weight: 1}}
	return &Config{
		Certificates: []*Certificate{{Name: "inline", Chain: pem("CERTIFICATE"), Key: pem("RSA PRIVATE KEY")}},
		Listeners: []*Listener{
			{Name: "database", Port: 5432, Protocol: TCP, ProxyProtocol: &ProxyProtocol{From: []string{"10.0.0.0/8"}}},
			{Name: "end", Port: 6443, Protocol: TLS, Certificates: []string{"inline"}},
			{Name: "names", Port: 53, Protocol: UDP},
			{Name: "names-tcp", Port: 53, Protocol: TCP},
			{Name: "pass", Port: 8443, Protocol: TLS, Passthrough: true, Hostname: "*.example.com"},
			{Name: "web", Port: 80, Protocol: HTTP},
		},
		Services:  []*Service{{Name: "db", Endpoints: []*Endpoint{{Host: "10.0.0.1", Port: 5432}}, ProxyProtocol: 2}},
		Routes:    []*Route{},
		Workloads: []*Workload{}, Policies: []*Policy{},
		Flows: []*Flow{
			{Name: "f0", Parents: []string{"database", "end"}, Backends: to},
			{Name: "f1", Parents: []string{"names", "names-tcp"}, Backends: to, Idle: -1},
			{Name: "f2", Parents: []string{"pass"}, Hostnames: []string{"a.example.com", "*.b.example.com"}, Backends: to},
			{Name: "f3", Parents: []string{"pass"}, Backends: to},
		},
	}
}

// flowOutcome tells what is gone of doors, or otherwise than written.
func flowOutcome(c *Config) string {
	var list []string
	for _, x := range doors().Listeners {
		if !slices.ContainsFunc(c.Listeners, func(y *Listener) bool { return y.Name == x.Name }) {
			list = append(list, "no "+x.Name)
		}
	}
	for _, x := range doors().Flows {
		i := slices.IndexFunc(c.Flows, func(y *Flow) bool { return y.Name == x.Name })
		switch {
		case i < 0:
			list = append(list, "no "+x.Name)
		case len(c.Flows[i].Parents) < len(x.Parents):
			list = append(list, x.Name+" behind "+strings.Join(c.Flows[i].Parents, ","))
		case len(c.Flows[i].Hostnames) < len(x.Hostnames):
			list = append(list, x.Name+" for "+strings.Join(c.Flows[i].Hostnames, ","))
		case len(c.Flows[i].Backends) > 0 && c.Flows[i].Backends[0].Service == "":
			list = append(list, x.Name+" to nothing")
		}
	}
	return strings.Join(list, ", ")
}

// onFlow is a policy for a route of flows, beside a good one.
func onFlow(kind TargetKind, says *Route) []*TrafficPolicy {
	return []*TrafficPolicy{
		{Name: "good", Targets: []PolicyTarget{{Kind: TargetMesh}}, Route: &Route{Priority: PriorityLow}},
		{Name: "policy", Targets: []PolicyTarget{{Kind: kind, Namespace: "shop", Name: "db"}}, Route: says},
	}
}

func TestFlowsAreLeftAlone(t *testing.T) {
	t.Parallel()
	c := doors()
	c.Flows[0].Priority, c.Flows[1].Priority, c.Flows[2].Priority = PriorityCritical, PriorityLow, PlainPriority
	c.Traffic = onFlow(TargetTLSRoute, &Route{Priority: PriorityCritical})
	out, problems := Validate(c)
	if len(problems) > 0 {
		t.Errorf("problems %v", problems)
	}
	if !reflect.DeepEqual(out, c) {
		t.Errorf("changed to %s", flowOutcome(out))
	}
}

func TestMistakesOfFlows(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		change func(*Config)
		want   string // of the first Problem: "CODE: MESSAGE", and its condition
		then   string
	}{
		{func(c *Config) { c.Flows[0].Parents[0] = "databse" }, `error unknown-listener: flow f0 hangs on listener "databse", which is not there`, "f0 behind end"},
		{func(c *Config) { c.Flows[0].Parents = []string{"web"} }, "error wrong-listener: flow f0 hangs on listener web, which speaks http: it has requests, not connections Accepted/NotAllowedByListeners", "no f0"},
		{func(c *Config) { c.Routes = []*Route{{Name: "r", Parents: []string{"end"}}} }, "error wrong-listener: route r hangs on listener end, which speaks tls: it has connections, not requests Accepted/NotAllowedByListeners", ""},
		{func(c *Config) { c.Flows[0].Parents = nil }, "error no-listener: flow f0 hangs on no listener", "no f0"},
		{func(c *Config) { c.Flows[0].Hostnames = []string{"a"} }, "error wrong-listener: flow f0 is for certain hostnames, but listener database speaks tcp, where nobody says a name", "f0 behind end"},
		{func(c *Config) { c.Flows[2].Hostnames[0] = "A.example.com" }, `error bad-hostname: flow f2 has the hostname "A.example.com"`, "f2 for *.b.example.com"},
		{func(c *Config) { c.Flows[2].Hostnames = []string{"?"} }, `error bad-hostname: flow f2 has the hostname "?"`, "no f2"},
		{func(c *Config) { c.Flows[2].Hostnames = []string{"a.org"} }, "warning unreachable: none of the hostnames of flow f2 comes to its listeners", "f2 for a.org"},
		{func(c *Config) { c.Flows[0].Backends[0].Service = "dba" }, `error unknown-service: flow f0 leads to service "dba", which is not there ResolvedRefs/BackendNotFound`, "f0 to nothing, f1 to nothing, f2 to nothing, f3 to nothing"},
		{func(c *Config) {
			c.Flows[0].Backends = []Backend{{Service: "db", Weight: 1, Filters: []Filter{{}}}}
		}, "error bad-value: flow f0 has filters, which are for requests", "f0 to nothing"},
		{func(c *Config) { c.Flows[0].Backends = nil }, "warning no-backend: flow f0 leads nowhere, its connections are reset", ""},
		{func(c *Config) { c.Flows[0].Idle = 5 }, "warning tiny-time: an idle time of 5ns is hardly meant", ""},
		{func(c *Config) { c.Flows[0].Priority = "high" }, `warning bad-value: flow f0 has the priority "high"`, ""},
		{func(c *Config) { c.Traffic = onFlow("TCPRoute", &Route{Retry: &Retry{}}) }, "error bad-value: policy is for TCPRoute shop/db, and says nothing of connections Accepted/Invalid", ""},
		{func(c *Config) {
			c.Traffic = onFlow("SCTPRoute", &Route{Priority: PriorityLow})
		}, `error bad-value: policy is for "SCTPRoute"`, ""},
		{func(c *Config) { c.Flows[3].Hostnames = []string{"a.example.com"} }, "warning duplicate-match: flow f3 never gets a connection: flow f2 (an unknown place) is for the same and goes before it", ""},
		{func(c *Config) { c.Flows[1].Name = "f0" }, "error duplicate-name: there are two flows named f0", "no f1"},
		{func(c *Config) { c.Listeners[0].ProxyProtocol.From = []string{"10.0.0.0"} }, `error bad-value: listener database believes the PROXY protocol of "10.0.0.0"`, "no database, f0 behind end"},
		{func(c *Config) { c.Listeners[2].ProxyProtocol = &ProxyProtocol{} }, "error bad-value: listener names reads the PROXY protocol but speaks udp", "no names, f1 behind names-tcp"},
		{func(c *Config) { c.Listeners[0].Passthrough = true }, "error bad-value: listener database speaks tcp and passes TLS through", "no database, f0 behind end"},
		{func(c *Config) { c.Listeners[0].Hostname = "a.example" }, "warning unused: listener database has a hostname or certificates but speaks tcp, which knows no names", ""},
		{func(c *Config) { c.Listeners[4].Certificates = []string{"inline"} }, "warning unused: listener pass has certificates but passes TLS through", ""},
		{func(c *Config) { c.Listeners[1].Certificates = nil }, "error no-certificate: listener end speaks TLS but has no certificate", "no end, f0 behind database"},
		{func(c *Config) { c.Listeners[3].Port = 5432 }, "error port-conflict: listener names-tcp wants port 5432 for the same host as listener database (an unknown place) Conflicted/HostnameConflict", "no names-tcp, f1 behind names"},
		{func(c *Config) { c.Listeners[5].Port = 5432 }, "error port-conflict: listener web speaks http on port 5432, where listener database (an unknown place) speaks tcp Conflicted/ProtocolConflict", "no web"},
		{func(c *Config) { c.Listeners[5].Port = 53 }, "error port-conflict: listener web speaks http on port 53, where listener names-tcp (an unknown place) speaks tcp Conflicted/ProtocolConflict", "no web"},
		{func(c *Config) {
			c.Listeners[1].Port, c.Listeners[1].ProxyProtocol = 8443, &ProxyProtocol{}
		}, "error port-conflict: listener pass reads the PROXY protocol otherwise than listener end (an unknown place) of the same port, and the header comes before anybody knows which is meant Conflicted/ProtocolConflict", "no pass, no f2, no f3"},
		{func(c *Config) { c.Services[0].ProxyProtocol = 3 }, "error bad-value: service db is told who the client is by version 3 of the PROXY protocol", "f0 to nothing, f1 to nothing, f2 to nothing, f3 to nothing"},
	} {
		t.Run(c.want, func(t *testing.T) {
			t.Parallel()
			config := doors()
			c.change(config)
			out, problems := Validate(config)
			if len(problems) == 0 {
				t.Fatal("no Problem")
			}
			p := problems[0]
			got := fmt.Sprintf("%s %s: %s", p.Severity, p.Code, p.Message)
			if p.Condition != "" {
				got += " " + p.Condition + "/" + p.Reason
			}
			if got != c.want {
				t.Errorf("problem %s", got)
			}
			if got := flowOutcome(out); got != c.then {
				t.Errorf("then %q, want %q", got, c.then)
			}
			checkValid(t, out)
		})
	}
}
