package model

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// shop is a valid Config with something of everything.
func shop() *Config {
	pem := func(kind string) []byte {
		return []byte("-----BEGIN " + kind + "-----\nAAAA\n-----END " + kind + "-----\n")
	}
	full, prefix := "/v2/{id}", "/"
	return &Config{
		Certificates: []*Certificate{
			{Name: "files", ChainFile: "a.pem", KeyFile: "a.key"},
			{Name: "inline", Chain: pem("CERTIFICATE"), Key: pem("RSA PRIVATE KEY")},
		},
		Listeners: []*Listener{
			{Name: "plain", Port: 80, Protocol: HTTP, Address: "127.0.0.1"},
			{Name: "secure", Port: 443, Protocol: HTTPS, Hostname: "*.example.com", Certificates: []string{"inline", "files"}, MinTLS: "1.3"},
		},
		Services: []*Service{
			{Name: "catalog", Endpoints: []*Endpoint{{Host: "catalog.internal", Port: 80}}, Host: "catalog:80"},
			{Name: "orders", Endpoints: []*Endpoint{{Host: "10.0.0.1", Port: 80}, {Host: "::1", Port: 81, Weight: 2}}, Balance: LeastRequest,
				TLS:    &BackendTLS{ServerName: "orders.example.com", CA: pem("CERTIFICATE")},
				Health: &HealthCheck{Path: "/healthz", Interval: time.Second, Timeout: time.Second, MinStatus: 200, MaxStatus: 204}},
		},
		Routes: []*Route{
			{Name: "r0", Parents: []string{"plain", "secure"}, Hostnames: []string{"api.example.com", "*.example.com"},
				Matches: []Match{
					{PathKind: PathTemplate, Path: "/orders/{id}", Method: "GET", Headers: []FieldMatch{{FieldRegex, "X-A", "a+"}}},
					{PathKind: PathTemplate, Path: "/old/{id}/{rest...}", Queries: []FieldMatch{{FieldPresent, "q q", ""}}, Cookies: []FieldMatch{{FieldAbsent, "c", ""}}},
				},
				Filters: []Filter{
					{RequestHeaders: &HeaderEdit{Set: []Field{{"X-B", "b c"}}, Remove: []string{"X-C"}}},
					{Rewrite: &Rewrite{Hostname: "orders", Path: &PathEdit{Full: &full}}},
					{Mirror: &Mirror{Service: "catalog", Numerator: 1, Denominator: 2}},
					{CORS: &CORS{Origins: []string{"https://*.example.com", "http://localhost:3000"}, Methods: []string{"*"}}},
				},
				Backends: []Backend{{Service: "orders", Weight: 9}, {Service: "catalog", Weight: 1, Filters: []Filter{{ResponseHeaders: &HeaderEdit{Add: []Field{{"X-D", ""}}}}}}},
				Timeouts: Timeouts{Request: time.Minute, Backend: time.Second}, Retry: &Retry{Attempts: 2, Codes: []int{503}}},
			{Name: "r1", Parents: []string{"plain"}, Matches: []Match{{PathKind: PathRegex, Path: "/a|/b"}},
				Filters: []Filter{{Redirect: &Redirect{Scheme: "https", Status: 301, Path: &PathEdit{Prefix: &prefix}}}}},
			{Name: "r2", Parents: []string{"plain"}, Filters: []Filter{{Respond: &Respond{Status: 200, Body: "hello"}}}},
		},
		Flows:     []*Flow{},
		Workloads: []*Workload{},
		Policies:  []*Policy{},
		Settings:  Settings{Admin: "127.0.0.1:9901", AccessLog: "json", AccessLogFile: "access.log"},
	}
}

func TestValidIsLeftAlone(t *testing.T) {
	t.Parallel()
	c := shop()
	out, problems := Validate(c)
	if len(problems) > 0 {
		t.Errorf("problems %v", problems)
	}
	if !reflect.DeepEqual(out, c) {
		t.Error("changed")
	}
	for i := range c.Routes {
		if out.Routes[i] != c.Routes[i] {
			t.Error("a route was copied without need")
		}
	}
}

// outcome tells what became of the parts of shop: what is gone, and what serves
// otherwise than written.
func outcome(c *Config) string {
	var list []string
	gone := func(kind, name string, there bool) {
		if !there {
			list = append(list, "no "+kind+" "+name)
		}
	}
	for _, x := range shop().Certificates {
		gone("certificate", x.Name, slices.ContainsFunc(c.Certificates, func(y *Certificate) bool { return y.Name == x.Name }))
	}
	for _, x := range shop().Listeners {
		gone("listener", x.Name, slices.ContainsFunc(c.Listeners, func(y *Listener) bool { return y.Name == x.Name }))
	}
	for _, x := range shop().Services {
		gone("service", x.Name, slices.ContainsFunc(c.Services, func(y *Service) bool { return y.Name == x.Name }))
	}
	for _, x := range shop().Routes {
		i := slices.IndexFunc(c.Routes, func(y *Route) bool { return y.Name == x.Name })
		gone("route", x.Name, i >= 0)
		if i < 0 {
			continue
		}
		y := c.Routes[i]
		for what, n := range map[string]int{
			"parents": len(x.Parents) - len(y.Parents), "hostnames": len(x.Hostnames) - len(y.Hostnames),
			"matches": len(x.Matches) - len(y.Matches), "filters": len(x.Filters) - len(y.Filters),
		} {
			if n > 0 {
				list = append(list, fmt.Sprintf("%s without %d %s", x.Name, n, what))
			}
		}
		for _, b := range y.Backends {
			if b.Service == "" {
				list = append(list, y.Name+" 500")
			}
		}
		if x.Retry != nil && y.Retry == nil {
			list = append(list, y.Name+" without retry")
		}
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

// TestMutualTLSIsValid: what is right of it comes through whole.
func TestMutualTLSIsValid(t *testing.T) {
	t.Parallel()
	c := shop()
	c.Listeners[1].ClientAuth = &ClientAuth{CAFile: "clients.pem", Optional: true}
	c.Services[1].TLS.Names = []string{"a.test", "*.b.test", "spiffe://c/d"}
	c.Services[1].TLS.Certificate = "files"
	out, problems := Validate(c)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if !slices.Contains(out.Listeners, c.Listeners[1]) || !slices.Contains(out.Services, c.Services[1]) {
		t.Error("something was taken out")
	}
}

func TestMistakes(t *testing.T) {
	t.Parallel()
	str := func(s string) *string { return &s }
	for _, c := range []struct {
		change func(*Config)
		want   string // of the first Problem: "CODE: MESSAGE"
		then   string
	}{
		{func(c *Config) { c.Settings.Admin = "nine" }, `error bad-address: the admin address "nine" is not an address with a port`, ""},
		{func(c *Config) { c.Settings.AccessLog = "xml" }, `error bad-value: an access log cannot be "xml"`, ""},
		{func(c *Config) { c.Settings.AccessLog = "" }, `warning unused: an access log file is named, but the access log is off`, ""},

		{func(c *Config) { c.Certificates[0].Name = "" }, "error no-name: this certificate has no name", "no certificate files"},
		{func(c *Config) { c.Certificates[1].Name = "files" }, "error duplicate-name: there are two certificates named files", "no certificate inline"},
		{func(c *Config) { c.Certificates[0].KeyFile = "" }, "error no-certificate: certificate files is only half there", "no certificate files"},
		{func(c *Config) { c.Certificates[1].Key = nil }, "error no-certificate: certificate inline is only half there", "no certificate inline"},
		{func(c *Config) { c.Certificates[1].Key, c.Certificates[1].Chain = nil, nil }, "error no-certificate: certificate inline is empty", "no certificate inline"},
		{func(c *Config) { c.Certificates[1].KeyFile = "x"; c.Certificates[1].ChainFile = "y" }, "error bad-value: certificate inline is given inline and as files", "no certificate inline"},
		{func(c *Config) { c.Certificates[1].Chain = []byte("CERTIFICATE") }, "error bad-certificate: certificate inline holds no PEM certificate", "no certificate inline"},
		{func(c *Config) { c.Certificates[1].Key = c.Certificates[1].Chain }, "error bad-certificate: certificate inline holds no PEM private key", "no certificate inline"},

		{func(c *Config) { c.Listeners[0].Address = "localhost" }, `error bad-address: listener plain cannot listen on "localhost"`, "no listener plain, no route r1, no route r2, r0 without 1 parents"},
		{func(c *Config) { c.Listeners[1].Hostname = "Example.com" }, `error bad-hostname: listener secure has the hostname "Example.com"`, "no listener secure, r0 without 1 parents"},
		{func(c *Config) { c.Listeners[1].Hostname = "a.*.com" }, `error bad-hostname: listener secure has the hostname "a.*.com"`, "no listener secure, r0 without 1 parents"},
		{func(c *Config) { c.Listeners[1].Protocol = "sctp" }, `error bad-protocol: listener secure speaks "sctp"`, "no listener secure, r0 without 1 parents"},
		{func(c *Config) { c.Listeners[1].MinTLS = "1.1" }, `error bad-value: listener secure wants at least TLS "1.1"`, "no listener secure, r0 without 1 parents"},
		{func(c *Config) { c.Listeners[1].TrustedHops = -1 }, "error bad-value: listener secure trusts -1 hops", "no listener secure, r0 without 1 parents"},
		{func(c *Config) { c.Listeners[1].ClientAuth = &ClientAuth{} }, "error no-certificate: listener secure asks clients for certificates but has no CA to check them with", "no listener secure, r0 without 1 parents"},
		{func(c *Config) { c.Listeners[1].ClientAuth = &ClientAuth{CA: []byte("x")} }, "error bad-certificate: the CA for clients of listener secure holds no PEM certificate", "no listener secure, r0 without 1 parents"},
		{func(c *Config) { c.Listeners[1].ClientAuth = &ClientAuth{CA: c.Services[1].TLS.CA, CAFile: "x"} }, "error bad-value: the CA for clients of listener secure is given inline and as a file", "no listener secure, r0 without 1 parents"},
		{func(c *Config) { c.Listeners[0].ClientAuth = &ClientAuth{CAFile: "x"} }, "error bad-value: listener plain asks clients for certificates but ends no TLS", "no listener plain, no route r1, no route r2, r0 without 1 parents"},
		{func(c *Config) {
			other := *c.Listeners[1]
			other.Name, other.Hostname, other.ClientAuth = "other", "other.test", &ClientAuth{CAFile: "x"}
			c.Listeners = append(c.Listeners, &other)
		}, "error port-conflict: listener secure asks clients for other certificates than listener other (an unknown place) of the same port, whose connections may carry its requests", "no listener secure, r0 without 1 parents"},
		{func(c *Config) { c.Listeners[1].Certificates = nil }, "error no-certificate: listener secure speaks HTTPS but has no certificate", "no listener secure, r0 without 1 parents"},
		{func(c *Config) { c.Listeners[1].Certificates[0] = "inlne" }, `error unknown-certificate: listener secure shows the certificate "inlne", which is not there`, ""},
		{func(c *Config) { c.Listeners[1].Certificates = []string{"x"} }, `error unknown-certificate: listener secure shows the certificate "x", which is not there`, "no listener secure, r0 without 1 parents"},
		{func(c *Config) { c.Listeners[0].Certificates = []string{"files"} }, "warning unused: listener plain has certificates or offers HTTP/3 but speaks plain HTTP", ""},
		{func(c *Config) { c.Listeners[0].HTTP3 = true }, "warning unused: listener plain has certificates or offers HTTP/3 but speaks plain HTTP", ""},
		{func(c *Config) { c.Listeners[1].Port = 80 }, "error port-conflict: listener secure speaks https on port 80, where listener plain (an unknown place) speaks http", "no listener secure, r0 without 1 parents"},
		{func(c *Config) { *c.Listeners[1] = *c.Listeners[0]; c.Listeners[1].Name = "secure" }, "error port-conflict: listener secure wants port 80 for the same host as listener plain (an unknown place)", "no listener secure, r0 without 1 parents"},
		{func(c *Config) { c.Listeners[0].Limits.HeadBytes = 20 }, "warning tiny-limit: listener plain takes heads of 20 bytes, which few requests fit in", ""},
		{func(c *Config) { c.Listeners[0].Limits.HeadBytes, c.Listeners[0].Limits.URIBytes = 1000, 2000 }, "warning tiny-limit: listener plain takes longer request targets than heads", ""},
		{func(c *Config) { c.Listeners[0].Limits.Head = 5 }, "warning tiny-time: a head time of 5ns is hardly meant", ""},

		{func(c *Config) { c.Services[1].Limits = &ServiceLimits{Requests: -1} }, "error bad-value: service orders has a limit below nothing", ""},
		{func(c *Config) { c.Services[1].Limits = &ServiceLimits{Adaptive: true, Least: 9, Most: 3} }, "error bad-value: service orders has an adaptive limit of at least 9 and at most 3; at least 9 counts", ""},
		{func(c *Config) { c.Services[1].Limits = &ServiceLimits{Requests: 9, Most: 3} }, "warning unused: service orders has bounds of an adaptive limit, which it does not have", ""},
		{func(c *Config) { c.Services[1].Limits = &ServiceLimits{Connections: -2} }, "error bad-value: the limit of connections of service orders is -2; its default counts", ""},
		{func(c *Config) { c.Services[1].Limits = &ServiceLimits{Retries: 1, Pending: -5} }, "error bad-value: the limit of requests that wait of service orders is -5; its default counts", ""},
		{func(c *Config) { c.Services[1].Limits = &ServiceLimits{Connections: 5, EndpointConnections: 6} }, "warning unused: service orders may have 5 connections, so the limit of 6 to each endpoint is never met", ""},
		{func(c *Config) { c.Services[1].Limits = &ServiceLimits{Wait: -1, Pending: 6} }, "warning unused: no request waits for its turn at service orders, so pending bounds only those whose connections are being made", ""},
		{func(c *Config) { c.Services[1].Limits = &ServiceLimits{Wait: 7} }, "warning tiny-time: the time that a request waits for its turn of 7ns is hardly meant", ""},
		{func(c *Config) { c.Services[1].Limits = &ServiceLimits{Wait: time.Hour} }, "error bad-value: a request waits 1h0m0s for its turn at service orders; at most 1m0s counts", ""},
		{func(c *Config) { c.Services[1].Limits = &ServiceLimits{} }, "warning unused: service orders has limits that say nothing", ""},
		{func(c *Config) { c.Routes[0].Priority = "high" }, `warning bad-value: route r0 has the priority "high"`, ""},
		{func(c *Config) { c.Services[1].Balance = "fairest" }, `error bad-value: service orders is balanced by "fairest", it goes on as peak-ewma`, ""},
		{func(c *Config) { c.Services[1].Balance = Maglev }, "error no-hash: service orders is balanced by maglev and says of no key what requests have in common; it goes on as peak-ewma", ""},
		{func(c *Config) { c.Services[1].Hash = []HashKey{{Kind: HashSource}} }, "warning unused: service orders has keys to hash, and is not balanced by them", ""},
		{func(c *Config) {
			c.Services[1].Balance, c.Services[1].Hash = Maglev, []HashKey{{Kind: HashSource}, {Kind: "user"}}
		}, `error bad-value: service orders hashes "user"`, ""},
		{func(c *Config) {
			c.Services[1].Balance, c.Services[1].Hash = Maglev, []HashKey{{Kind: HashSource}, {Kind: HashSource, Name: "x"}}
		}, `error bad-value: service orders hashes a source named "x"`, ""},
		{func(c *Config) {
			c.Services[1].Balance, c.Services[1].Hash = Maglev, []HashKey{{Kind: HashSource}, {Kind: HashCookie, Name: "a b"}}
		}, `error bad-value: service orders hashes a cookie named "a b"`, ""},
		{func(c *Config) {
			c.Services[1].Balance, c.Services[1].Hash = Maglev, slices.Repeat([]HashKey{{Kind: HashSource}}, MostHashKeys+1)
		}, "error bad-value: service orders has more than 8 keys to hash; the others are not used", ""},
		{func(c *Config) { c.Routes[0].Session = &Session{Kind: "ip"} }, `error bad-value: route r0 has a session shown by "ip", which is neither cookie nor header; its requests are balanced each by itself`, ""},
		{func(c *Config) { c.Routes[0].Session = &Session{Kind: SessionCookie, Name: "a b"} }, `error bad-value: route r0 has a session named "a b"; its requests are balanced each by itself`, ""},
		{func(c *Config) { c.Routes[0].Session = &Session{Kind: SessionCookie, Permanent: true} }, "error bad-value: route r0 has a session that is permanent, which is for cookies with a lifetime; its requests are balanced each by itself", ""},
		{func(c *Config) { c.Services[1].SlowStart = &SlowStart{Window: -1} }, "error bad-value: service orders has a slow start that cannot be; its new endpoints get their share at once", ""},
		{func(c *Config) { c.Services[1].SlowStart = &SlowStart{Window: time.Second, Aggression: math.NaN()} }, "error bad-value: service orders has a slow start that cannot be; its new endpoints get their share at once", ""},
		{func(c *Config) { c.Services[1].Host = "a b" }, `error bad-hostname: service orders is sent the host "a b"`, ""},
		{func(c *Config) { c.Services[1].TLS.ServerName = "*" }, `error bad-hostname: service orders is verified as "*"`, "no service orders, r0 500"},
		{func(c *Config) { c.Services[1].TLS.CA = []byte("x") }, "error bad-certificate: the CA of service orders holds no PEM certificate", "no service orders, r0 500"},
		{func(c *Config) { c.Services[1].TLS.CAFile = "x" }, "error bad-value: the CA of service orders is given inline and as a file", "no service orders, r0 500"},
		{func(c *Config) { c.Services[1].TLS.Insecure = true }, "warning unused: service orders has a CA, but any certificate is accepted", ""},
		{func(c *Config) { c.Services[1].TLS.Names = []string{"a b"} }, `error bad-hostname: service orders is verified as "a b"`, "no service orders, r0 500"},
		{func(c *Config) { c.Services[1].TLS.Names = []string{"spiffe://"} }, `error bad-hostname: service orders is verified as "spiffe://"`, "no service orders, r0 500"},
		{func(c *Config) { c.Services[1].TLS.Certificate = "fils" }, `error unknown-certificate: service orders is shown the certificate "fils", which is not there`, "no service orders, r0 500"},
		{func(c *Config) { c.Services[1].Health.Path = "healthz" }, `error bad-path: the health check of service orders asks for "healthz"`, ""},
		{func(c *Config) { c.Services[1].Health.Host = "a/b" }, `error bad-hostname: the health check of service orders asks the host "a/b"`, ""},
		{func(c *Config) { c.Services[1].Health.Interval = -1 }, "error bad-value: the health check of service orders has a negative bound", ""},
		{func(c *Config) { c.Services[1].Health.MinStatus = 20 }, "error bad-status: the health check of service orders expects the status 20", ""},
		{func(c *Config) { c.Services[1].Health.MinStatus = 300 }, "error bad-status: the health check of service orders expects no status at all", ""},
		{func(c *Config) { c.Services[1].Health.Timeout = time.Minute }, "warning long-timeout: the health check of service orders waits longer than its interval", ""},
		{func(c *Config) { c.Services[1].Idle = -1 }, "error bad-value: service orders has a negative bound; the default is used", ""},
		{func(c *Config) { c.Services[1].Ejection = &Ejection{SuccessRate: 101} }, "error bad-value: the success rate of service orders is 101%; its default counts", ""},
		{func(c *Config) { c.Services[1].Ejection = &Ejection{MaxEjected: 101} }, "error bad-value: the share of endpoints that are ejected of service orders is 101%; its default counts", ""},
		{func(c *Config) { c.Services[1].Ejection = &Ejection{SuccessRate: 100} }, "warning strict: service orders ejects endpoints of which a single request fails now and then", ""},
		{func(c *Config) { c.Services[1].Ejection = &Ejection{Failures: 1} }, "warning strict: service orders ejects an endpoint for a single failed request", ""},
		{func(c *Config) { c.Services[1].Ejection = &Ejection{Slowness: 90} }, "error bad-value: service orders ejects endpoints that take 0.90 times as long as the others, half of all; the default of 3 counts", ""},
		{func(c *Config) { c.Services[1].Ejection = &Ejection{Backoff: -1} }, "error bad-value: the back-off of service orders is below nothing; its default counts", ""},
		{func(c *Config) { c.Services[1].Ejection = &Ejection{Backoff: 2 * time.Minute, MaxBackoff: time.Minute} }, "warning contradiction: the back-off of service orders begins with 2m0s, which is more than its longest of 1m0s: it is always 2m0s", ""},
		{func(c *Config) {
			c.Services[1].Endpoints = []*Endpoint{{Host: "10.0.0.1", Port: 80}, {Host: "10.0.0.1", Port: 81}, {Host: "10.0.0.1", Port: 80, Weight: 5, Priority: 1}}
		}, "warning duplicate-endpoint: service orders has the endpoint 10.0.0.1:80 twice: it is one, of their weights together", ""},
		{func(c *Config) { c.Services[1].Ejection = &Ejection{Off: true, Failures: 3} }, "warning unused: service orders ejects no endpoint, so its other settings of ejection are not used", ""},
		{func(c *Config) { c.Services[1].Connect = 5 }, "warning tiny-time: a connect time of 5ns is hardly meant", ""},
		{func(c *Config) { c.Services[1].Endpoints[0].Host = "10.0.0.1:80" }, `error bad-address: service orders has an endpoint "10.0.0.1:80"`, ""},
		{func(c *Config) { c.Services[1].Endpoints[0].Port = 0 }, "error bad-port: service orders has an endpoint 10.0.0.1 without a port", ""},
		{func(c *Config) { c.Services[1].Endpoints[0].Weight = -1 }, "error bad-weight: service orders has an endpoint 10.0.0.1 of weight -1", ""},
		{func(c *Config) { c.Services[1].Endpoints = nil }, "warning empty-service: service orders has no endpoint, its requests get 503", ""},

		{func(c *Config) { c.Routes[0].Parents[0] = "plane" }, `error unknown-listener: route r0 hangs on listener "plane", which is not there`, "r0 without 1 parents"},
		{func(c *Config) { c.Routes[0].Parents = nil }, "error no-listener: route r0 hangs on no listener", "no route r0"},
		{func(c *Config) { c.Routes[0].Hostnames[0] = "API.example.com" }, `error bad-hostname: route r0 has the hostname "API.example.com"`, "r0 without 1 hostnames"},
		{func(c *Config) { c.Routes[0].Hostnames = []string{"*"} }, `error bad-hostname: route r0 has the hostname "*"`, "no route r0"},
		{func(c *Config) {
			c.Routes[0].Parents, c.Routes[0].Hostnames = []string{"secure"}, []string{"example.com"}
		}, "warning unreachable: none of the hostnames of route r0 comes to its listeners", "r0 without 1 hostnames, r0 without 1 parents"},
		{func(c *Config) { c.Routes[0].Matches[0].Path = "orders" }, `error bad-path: route r0 matches a path "orders" that does not begin with /`, "r0 without 1 matches"},
		{func(c *Config) { c.Routes[0].Matches[1].Path = "/old/{id" }, `error bad-path: route r0 matches a path "/old/{id" that has a { without a }`, "r0 without 1 matches"},
		{func(c *Config) { c.Routes[1].Matches[0].Path = "(" }, "error bad-path: route r1 matches a path \"(\" that is no regular expression: missing closing ): `(`", "no route r1"},
		{func(c *Config) { c.Routes[1].Matches[0].PathKind = "glob" }, `error bad-path: route r1 matches a path "/a|/b" that is of the unknown kind "glob"`, "no route r1"},
		{func(c *Config) { c.Routes[1].Matches[0].PathKind = "" }, `error bad-path: route r1 matches a path "/a|/b" that has no kind`, "no route r1"},
		{func(c *Config) { c.Routes[1].Matches[0] = Match{PathKind: PathExact, Path: "/a b"} }, `error bad-path: route r1 matches a path "/a b" that holds a space or a control character`, "no route r1"},
		{func(c *Config) { c.Routes[1].Matches[0] = Match{PathKind: PathExact, Path: "/a?b"} }, `error bad-path: route r1 matches a path "/a?b" that holds a ? or #, which are not part of a path`, "no route r1"},
		{func(c *Config) { c.Routes[0].Matches[0].Method = "G T" }, `error bad-method: route r0 matches the method "G T"`, "r0 without 1 matches"},
		{func(c *Config) { c.Routes[0].Matches[0].Method = "get" }, "warning bad-method: route r0 matches the method get, and methods differ by case", ""},
		{func(c *Config) { c.Routes[0].Matches[0].Headers[0].Name = "X A" }, `error bad-name: route r0 matches a header named "X A"`, "r0 without 1 matches"},
		{func(c *Config) { c.Routes[0].Matches[0].Headers[0].Value = "[" }, "error bad-regex: route r0 matches the header X-A with a bad regular expression: missing closing ]: `[`", "r0 without 1 matches"},
		{func(c *Config) { c.Routes[0].Matches[1].Queries[0].Name = "" }, `error bad-name: route r0 matches a query parameter named ""`, "r0 without 1 matches"},
		{func(c *Config) { c.Routes[0].Matches[1].Cookies[0].Kind = "prefix" }, `error bad-value: route r0 matches the cookie c by "prefix"`, "r0 without 1 matches"},

		{func(c *Config) { c.Routes[0].Backends[0].Service = "ordesr" }, `error unknown-service: route r0 leads to service "ordesr", which is not there`, "r0 500"},
		{func(c *Config) { c.Routes[0].Backends[0].Weight = -1 }, "error bad-weight: route r0 gives a backend the weight -1", ""},
		{func(c *Config) { c.Routes[0].Backends[0].Weight, c.Routes[0].Backends[1].Weight = 0, 0 }, "warning no-backend: all backends of route r0 have weight 0, its requests get 500", ""},
		{func(c *Config) { c.Routes[0].Backends[1].Filters[0] = Filter{} }, "error bad-filter: route r0 has a filter of 0 kinds", "r0 500"},
		{func(c *Config) { c.Routes[0].Backends = nil }, "warning no-backend: route r0 leads nowhere, its requests get 500", ""},
		{func(c *Config) { c.Routes[1].Backends = c.Routes[0].Backends }, "warning unused: route r1 has backends but answers by itself", ""},

		{func(c *Config) { c.Routes[0].Filters[0].CORS = &CORS{} }, "error bad-filter: route r0 has a filter of 2 kinds", "r0 500, r0 without 4 filters"},
		{func(c *Config) { c.Routes[0].Filters[0].RequestHeaders.Set[0].Name = "X:" }, `error bad-filter: route r0 has a header filter with the name "X:"`, "r0 500, r0 without 4 filters"},
		{func(c *Config) { c.Routes[0].Filters[0].RequestHeaders.Set[0].Value = "a\r\nb: c" }, `error bad-filter: route r0 has a header filter that gives X-B the value "a\r\nb: c"`, "r0 500, r0 without 4 filters"},
		{func(c *Config) { c.Routes[0].Filters[0].RequestHeaders.Set[0].Name = "content-Length" }, "error bad-filter: route r0 has a header filter that sets content-Length", "r0 500, r0 without 4 filters"},
		{func(c *Config) { c.Routes[0].Filters[0].RequestHeaders.Remove[0] = "" }, `error bad-filter: route r0 has a header filter that removes ""`, "r0 500, r0 without 4 filters"},
		{func(c *Config) { c.Routes[0].Filters[1].Rewrite.Hostname = "a b" }, `error bad-filter: route r0 has a rewrite to the host "a b"`, "r0 500, r0 without 4 filters"},
		{func(c *Config) { c.Routes[0].Filters[1].Rewrite.Path.Full = str("/{no}") }, `error bad-filter: route r0 has a path edit to "/{no}", but not every match captures {no}`, "r0 500, r0 without 4 filters"},
		{func(c *Config) { c.Routes[0].Filters[1].Rewrite.Path.Full = str("/{id") }, `error bad-filter: route r0 has a path edit with a brace left alone: "/{id"`, "r0 500, r0 without 4 filters"},
		{func(c *Config) { c.Routes[0].Filters[1].Rewrite.Path.Full = str("x") }, `error bad-filter: route r0 has a path edit to "x"`, "r0 500, r0 without 4 filters"},
		{func(c *Config) { c.Routes[0].Filters[1].Rewrite.Path.Prefix = str("x") }, `error bad-filter: route r0 has a path edit that is not either full or prefix`, "r0 500, r0 without 4 filters"},
		{func(c *Config) { c.Routes[1].Filters[0].Redirect.Path.Prefix = str("x") }, `error bad-filter: route r1 has a path edit to the prefix "x"`, "r1 500, r1 without 1 filters"},
		{func(c *Config) { c.Routes[1].Filters[0].Redirect.Scheme = "ftp" }, `error bad-filter: route r1 has a redirect to the scheme "ftp"`, "r1 500, r1 without 1 filters"},
		{func(c *Config) { c.Routes[1].Filters[0].Redirect.Hostname = "*.a" }, `error bad-filter: route r1 has a redirect to the host "*.a"`, "r1 500, r1 without 1 filters"},
		{func(c *Config) { c.Routes[1].Filters[0].Redirect.Status = 300 }, "error bad-filter: route r1 has a redirect with status 300", "r1 500, r1 without 1 filters"},
		{func(c *Config) { c.Routes[2].Filters[0].Respond.Status = 101 }, "error bad-filter: route r2 has a response with status 101", "r2 500, r2 without 1 filters"},
		{func(c *Config) { c.Routes[2].Filters[0].Respond.Headers = []Field{{"a b", ""}} }, `error bad-filter: route r2 has a response with the header name "a b"`, "r2 500, r2 without 1 filters"},
		{func(c *Config) { c.Routes[2].Filters[0].Respond.Headers = []Field{{"a", "\x00"}} }, `error bad-filter: route r2 has a response that gives a the value "\x00"`, "r2 500, r2 without 1 filters"},
		{func(c *Config) { c.Routes[2].Filters[0].Respond.Headers = []Field{{"Connection", "x"}} }, "error bad-filter: route r2 has a response that sets Connection", "r2 500, r2 without 1 filters"},
		{func(c *Config) { c.Routes[2].Filters[0].Respond.Status = 204 }, "warning unused: route r2 answers 204 with a body, which that status cannot have", ""},
		{func(c *Config) { c.Routes[0].Filters[2].Mirror.Service = "x" }, `error unknown-service: route r0 mirrors to service "x", which is not there`, "r0 without 1 filters"},
		{func(c *Config) { c.Routes[0].Filters[2].Mirror.Numerator = 3 }, "error bad-value: route r0 mirrors 3 of 2 requests", "r0 without 1 filters"},
		{func(c *Config) { c.Routes[0].Filters[3].CORS.Origins = nil }, "error bad-filter: route r0 has a CORS filter that allows no origin", "r0 500, r0 without 4 filters"},
		{func(c *Config) { c.Routes[0].Filters[3].CORS.Origins[0] = "example.com" }, `error bad-filter: route r0 has a CORS filter for the origin "example.com"`, "r0 500, r0 without 4 filters"},
		{func(c *Config) { c.Routes[0].Filters[3].CORS.Methods[0] = "a b" }, `error bad-filter: route r0 has a CORS filter with the name "a b"`, "r0 500, r0 without 4 filters"},
		{func(c *Config) { c.Routes[0].Filters[3].CORS.MaxAge = -time.Second }, "error bad-filter: route r0 has a CORS filter with a maximum age of -1s", "r0 500, r0 without 4 filters"},

		{func(c *Config) { c.Routes[0].Timeouts.Request = 5 }, "warning tiny-time: a request timeout of 5ns is hardly meant", ""},
		{func(c *Config) { c.Routes[0].CountCalls = true }, "warning not-http2: route r0 makes gRPC calls, but service orders speaks HTTP/1", ""},
		{func(c *Config) { c.Routes[0].Filters = append(c.Routes[0].Filters, Filter{Transcode: &Transcode{}}) }, "error bad-filter: route r0 has a translation to gRPC without descriptors", "r0 500, r0 without 4 filters"},
		{func(c *Config) {
			c.Routes[0].Filters = append(c.Routes[0].Filters, Filter{Transcode: &Transcode{Descriptors: "a", Services: []string{".a"}}})
		}, `error bad-filter: route r0 has a translation to the gRPC service ".a"`, "r0 500, r0 without 4 filters"},
		{func(c *Config) { c.Routes[0].Retry = &Retry{GRPC: []int{17}} }, "error bad-status: route r0 retries on gRPC status 17", "r0 without retry"},
		{func(c *Config) { c.Services[1].Protocol = "h2" }, `error bad-value: service orders speaks "h2"`, ""},
		{func(c *Config) { c.Services[1].Health.Kind = "icmp" }, `error bad-value: the health check of service orders is of the kind "icmp"`, ""},
		{func(c *Config) { c.Services[1].Health.Kind, c.Services[1].TLS = HealthTLS, nil }, "error bad-value: the health check of service orders shakes hands by TLS, but its requests do not; it is not checked", ""},
		{func(c *Config) { c.Services[1].Health.Service = "a" }, `error bad-value: the health check of service orders asks about "a"`, ""},
		{func(c *Config) { c.Routes[0].Timeouts.Backend = time.Hour }, "warning long-timeout: route r0 gives one try 1h0m0s, but the whole request only 1m0s: that ends a try too", ""},
		{func(c *Config) { c.Routes[0].Retry.Attempts = 11 }, "error bad-retry: route r0 retries 11 times", "r0 without retry"},
		{func(c *Config) { c.Routes[0].Retry.Codes[0] = 200 }, "error bad-status: route r0 retries on status 200", "r0 without retry"},
		{func(c *Config) { c.Routes[0].Retry.Backoff = -1 }, "error bad-retry: route r0 waits -1ns before it retries", "r0 without retry"},
	} {
		t.Run(c.want, func(t *testing.T) {
			t.Parallel()
			config := shop()
			c.change(config)
			out, problems := Validate(config)
			if len(problems) == 0 {
				t.Fatal("no Problem")
			}
			if p := problems[0]; fmt.Sprintf("%s %s: %s", p.Severity, p.Code, p.Message) != c.want {
				t.Errorf("problem %s %s: %s", p.Severity, p.Code, p.Message)
			}
			if got := outcome(out); got != c.then {
				t.Errorf("then %q, want %q", got, c.then)
			}
			checkValid(t, out)
		})
	}
}

// checkValid sees that validating once more changes nothing.
func checkValid(t *testing.T, c *Config) {
	t.Helper()
	again, problems := Validate(c)
	for _, p := range problems {
		if p.Severity == Broken {
			t.Errorf("still broken: %v", p)
		}
	}
	if !reflect.DeepEqual(again, c) {
		t.Error("validating again changes something")
	}
}

// TestAnythingBecomesValid puts nonsense into random fields and sees that what
// Validate lets through is valid, and that it does not write to what it gets.
func TestAnythingBecomesValid(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		c := shop()
		for range 1 + random.IntN(6) {
			spoil(random, reflect.ValueOf(c).Elem())
		}
		before := Freeze(c).Version
		out, _ := Validate(c)
		if Freeze(c).Version != before {
			t.Fatal("the Config was written to")
		}
		checkValid(t, out)
		if t.Failed() {
			t.Fatalf("after %+v", c)
		}
	}
}

// spoil writes nonsense somewhere below v.
func spoil(random *rand.Rand, v reflect.Value) {
	words := []string{"", "/", "x", "orders", "plain", "*", "*.example.com", "/{id}", "(", "a b", "\x00", "é", "https", "regex", strings.Repeat("a", 300)}
	switch v.Kind() {
	case reflect.Struct:
		spoil(random, v.Field(random.IntN(v.NumField())))
	case reflect.Pointer:
		switch {
		case v.IsNil() && v.Type().Elem().Kind() == reflect.Struct:
			v.Set(reflect.New(v.Type().Elem()))
		case !v.IsNil():
			spoil(random, v.Elem())
		}
	case reflect.Slice:
		switch n := v.Len(); {
		case v.Type().Elem().Kind() == reflect.Uint8:
			v.SetBytes([]byte(words[random.IntN(len(words))]))
		case n == 0:
		case random.IntN(8) == 0:
			v.SetLen(n - 1)
		case random.IntN(8) == 0:
			v.Set(reflect.Append(v, v.Index(0))) // the same again
		default:
			spoil(random, v.Index(random.IntN(n)))
		}
	case reflect.String:
		v.SetString(words[random.IntN(len(words))])
	case reflect.Int, reflect.Int64:
		v.SetInt([]int64{-1, 0, 1, 80, 200, 443, 500, 700, 1 << 40}[random.IntN(9)])
	case reflect.Uint16:
		v.SetUint([]uint64{0, 80, 443, 65535}[random.IntN(4)])
	case reflect.Bool:
		v.SetBool(!v.Bool())
	}
}

// A Validator says what Validate says, whatever happened to which nouns.
func TestValidator(t *testing.T) {
	t.Parallel()
	var v Validator
	random := rand.New(rand.NewPCG(3, 4))
	c := shop()
	for i := range 3000 {
		next := *c
		fresh := shop()
		switch random.IntN(6) {
		case 0: // all good and new
			next = *fresh
		case 1:
			k := random.IntN(len(fresh.Listeners))
			spoil(random, reflect.ValueOf(fresh.Listeners[k]))
			next.Listeners = append(slices.Clone(c.Listeners[:min(k, len(c.Listeners))]), fresh.Listeners[k:]...)
		case 2:
			spoil(random, reflect.ValueOf(fresh.Services[0]))
			next.Services = fresh.Services
		case 3:
			next.Services = fresh.Services[:random.IntN(len(fresh.Services)+1)]
		default:
			k := random.IntN(len(fresh.Routes))
			if random.IntN(3) > 0 {
				spoil(random, reflect.ValueOf(fresh.Routes[k]))
			}
			next.Routes = append(slices.Clone(c.Routes[:min(k, len(c.Routes))]), fresh.Routes[k:]...)
		}
		got, problems := v.Validate(&next)
		want, wanted := Validate(&next)
		if !reflect.DeepEqual(got, want) || !slices.Equal(problems, wanted) {
			t.Fatalf("step %d: %v, want %v", i, problems, wanted)
		}
		c = &next
	}
}

func TestHintNamesWhatWasMeant(t *testing.T) {
	t.Parallel()
	c := shop()
	c.Routes[0].Backends[0].Service = "odrers"
	_, problems := Validate(c)
	if len(problems) != 1 || problems[0].Hint != "did you mean orders?" {
		t.Errorf("problems %v", problems)
	}
}

func BenchmarkValidate(b *testing.B) {
	c := many(10_000)
	for b.Loop() {
		if _, p := Validate(c); len(p) > 0 {
			b.Fatal(p)
		}
	}
}

// TestRefused: who leads to what has a mistake is not told that it is not there.
func TestRefused(t *testing.T) {
	t.Parallel()
	c := &Config{
		Listeners: []*Listener{{Name: "good", Port: 80, Protocol: HTTP}, {Name: "bad", Refused: true}, {Name: "worse", Port: 81, Protocol: "gopher"}},
		Services:  []*Service{{Name: "told", Refused: true, Origin: Origin{Source: "x.yaml", Line: 3}}, {Name: "wrong", Endpoints: []*Endpoint{{Host: "a", Port: 1}}, TLS: &BackendTLS{CA: []byte("x")}, Origin: Origin{Source: "x.yaml", Line: 4}}},
		Routes: []*Route{
			{Name: "r0", Parents: []string{"good", "bad"}, Backends: []Backend{{Service: "told", Weight: 1}}},
			{Name: "r1", Parents: []string{"good", "worse"}, Matches: []Match{{Method: "GET"}}, Backends: []Backend{{Service: "wrong", Weight: 1}}},
			{Name: "r2", Parents: []string{"bad"}, Backends: []Backend{{Service: "told", Weight: 1}}},
		},
	}
	out, problems := Validate(c)
	var lines []string
	for _, p := range problems {
		lines = append(lines, p.Code+" "+p.Message+" ("+p.Hint+")")
	}
	want := `bad-protocol listener worse speaks "gopher" (write http, https, tls, tcp or udp)
bad-certificate the CA of service wrong holds no PEM certificate (it begins with -----BEGIN CERTIFICATE-----)
refused-service route r0 leads to service "told", which has a mistake itself (put right what is wrong at x.yaml:3)
refused-service route r1 leads to service "wrong", which has a mistake itself (put right what is wrong at x.yaml:4)`
	if got := strings.Join(lines, "\n"); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	if len(out.Listeners) != 1 || len(out.Services) != 0 || len(out.Routes) != 2 || len(out.Routes[0].Parents) != 1 {
		t.Errorf("left: %v %v %v", out.Listeners, out.Services, out.Routes)
	}
}
