package main

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/naru-mesh/naru/bench/peer"
)

// job is what a proxy is to do in one turn.
type job struct {
	dir       string
	listen    netip.AddrPort
	instances []netip.AddrPort
	overload  bool // one instance of fixed capacity, and a critical path
}

// What every product has, with one value for all. Three bad checks and two good
// ones are the defaults of HAProxy and naru; the times are short, as for a
// service that answers in 2 ms.
const (
	connectTime  = "1s" // to connect to an instance
	tryTime      = "1s" // of one try until its answer begins
	checkTime    = "1s" // between two checks, and for their answer
	checksBad    = 3
	checksGood   = 2
	furtherTries = 2 // after the first
	aside        = "10s"
	slowStart    = "5s" // of an instance that is back, where a product has that
	healthPath   = "/health"
	mostConns    = 8192
	// poolMost is how many requests a proxy that knows the capacity of a
	// service sends there at once, one that has a queue of its own; fullMost is
	// for one without: a few wait at the service, so that no worker does.
	poolMost = workers
	fullMost = workers + workers/2
	// queueTime is how long a request may wait for its turn there.
	queueTime = "250ms"
)

// kind is a product as it is configured here.
type kind struct {
	name    string
	program string
	version string
	start   func(program string, j *job) (*exec.Cmd, error)
}

// find gives the products that are asked for and installed, naru first, and the
// names of those that are not installed.
func find(naru, names string) (found []*kind, missing []string) {
	wanted := map[string]bool{}
	for _, n := range strings.Split(names, ",") {
		wanted[strings.TrimSpace(n)] = true
	}
	if wanted["naru"] {
		found = append(found, &kind{name: "naru", program: naru, start: startNaru})
	}
	if wanted["bare"] {
		found = append(found, &kind{name: "bare", program: naru, start: startBare})
	}
	for _, k := range []*kind{
		{name: "haproxy", start: startHAProxy}, {name: "nginx", start: startNginx}, {name: "envoy", start: startEnvoy},
	} {
		if !wanted[k.name] {
			continue
		}
		if k.program = look(k.name); k.program == "" {
			missing = append(missing, k.name)
			continue
		}
		flag := "-v"
		if k.name == "envoy" {
			flag = "--version"
		}
		out, _ := exec.Command(k.program, flag).CombinedOutput()
		k.version = regexp.MustCompile(`\d+\.\d+\.\d+`).FindString(string(out))
		found = append(found, k)
	}
	return found, missing
}

// look gives a program's path, "" where it is not installed.
func look(name string) string {
	for _, dir := range []string{"", "/usr/sbin/", "/usr/local/sbin/"} {
		if p, err := exec.LookPath(dir + name); err == nil {
			return p
		}
	}
	return ""
}

// file writes a configuration.
func (j *job) file(name, text string) (string, error) {
	if err := os.MkdirAll(j.dir, 0o700); err != nil {
		return "", err
	}
	path := filepath.Join(j.dir, name)
	return path, os.WriteFile(path, []byte(text), 0o600)
}

// startNaru: what its pages on retries, timeouts and health checks say. How
// instances are chosen, and when one stands aside, is left as it comes. Writes
// have a route without a declared retry: a POST is not done twice.
//
// Overload: the page on limits has a number for services that are known, and a
// priority of routes.
func startNaru(program string, j *job) (*exec.Cmd, error) {
	return naruWith(program, j, naruText(j, fmt.Sprint(fullMost)))
}

// startAdaptive: naru under overload, with nothing known of the service.
func startAdaptive(program string, j *job) (*exec.Cmd, error) {
	return naruWith(program, j, naruText(j, "adaptive"))
}

func naruText(j *job, limits string) string {
	critical := ""
	if j.overload {
		critical = fmt.Sprintf("- {name: critical, match: =/critical, to: service, priority: critical, timeout: {backend: %s}}\n", tryTime)
		limits = "\n    limits: " + limits
	} else {
		limits = ""
	}
	return fmt.Sprintf(`routes:
%s- {name: reads, match: /, to: service, retry: {attempts: %d, on: [500, 502, 503, 504]}, timeout: {backend: %s}}
- {name: writes, match: POST /, to: service, timeout: {backend: %s}}
services:
  service:
    endpoints: [%s]
    connect: %s
    health: {path: %s, interval: %s, timeout: %s, healthy: %d, unhealthy: %d}%s
`, critical, furtherTries, tryTime, tryTime, quoted(j.instances), connectTime, healthPath, checkTime, checkTime, checksGood, checksBad, limits)
}

// startBare: naru with nothing said but where requests go.
func startBare(program string, j *job) (*exec.Cmd, error) {
	return naruWith(program, j, fmt.Sprintf("routes: [{match: /, to: service}]\nservices: {service: [%s]}\n", quoted(j.instances)))
}

func naruWith(program string, j *job, text string) (*exec.Cmd, error) {
	conf, err := j.file("naru.yaml", fmt.Sprintf("listen: [%q]\n", j.listen)+text)
	if err != nil {
		return nil, err
	}
	admin, err := peer.FreePort()
	if err != nil {
		return nil, err
	}
	return exec.Command(program, "run", "--admin", admin.String(), "--drain", "1s", "--log-level", "warn", conf), nil
}

func quoted(list []netip.AddrPort) string {
	var out []string
	for _, a := range list {
		out = append(out, fmt.Sprintf("%q", a))
	}
	return strings.Join(out, ", ")
}

// startHAProxy, by its configuration manual: checks of layer 7; "observe layer7"
// with the default error-limit of 10, because checks alone do not see what
// clients see; retries on everything that may be repeated, each on another
// server (redispatch 1), and none for POST, for which the manual names
// disable-l7-retry (a connection that fails is tried again all the same);
// slowstart for a server that is back; leastconn, which keeps away from a
// server whose answers take long.
//
// Overload: the manual's way is a maxconn of the server, a queue before it with
// a limit of time that leaves enough for the work, and a priority class for
// what is critical; abortonclose lets go of requests whose client has left. A
// server that is the only one is not put aside for its errors.
func startHAProxy(program string, j *job) (*exec.Cmd, error) {
	queue, observe, server := tryTime, "observe layer7 error-limit 10 on-error mark-down ", ""
	if j.overload {
		queue, observe, server = queueTime, "", fmt.Sprintf(" maxconn %d", poolMost)
	}
	var b strings.Builder
	fmt.Fprintf(&b, `global
  nbthread 1
  maxconn %d
defaults
  mode http
  timeout connect %s
  timeout client 60s
  timeout http-keep-alive 60s
  timeout http-request 5s
  timeout server %s
  timeout queue %s
  retries %d
  option redispatch 1
  retry-on all-retryable-errors
  http-reuse safe
  option abortonclose
frontend all
  bind %s backlog 4096
  default_backend service
backend service
  balance leastconn
  option httpchk
  http-check send meth GET uri %s ver HTTP/1.1 hdr Host bench.example.com
  http-check expect status 200
  http-request disable-l7-retry if METH_POST
`, mostConns, connectTime, tryTime, queue, furtherTries, j.listen, healthPath)
	if j.overload {
		b.WriteString("  http-request set-priority-class int(-10) if { path /critical }\n")
	}
	fmt.Fprintf(&b, "  default-server check inter %s fall %d rise %d %sslowstart %s pool-max-conn 1024%s\n",
		checkTime, checksBad, checksGood, observe, slowStart, server)
	for i, a := range j.instances {
		fmt.Fprintf(&b, "  server s%d %s\n", i, a)
	}
	conf, err := j.file("haproxy.cfg", b.String())
	return exec.Command(program, "-db", "-q", "-f", conf), err
}

// startNginx, by its admin guide and the upstream module's reference. The free
// edition has no active checks and no slow start: max_fails and fail_timeout
// are what it has, with their defaults of one failure and ten seconds, which
// are the quickest to put a server aside; the zone is needed for least_conn to
// mean all of it. Another server is tried for errors, timeouts and the
// statuses of a broken server; requests that are not idempotent are not
// repeated once they have been sent, which is the default.
//
// Overload: max_conns is what the free edition has (its queue is not in it).
// Beyond it requests fail at once, critical ones too, so these get an upstream
// of their own.
func startNginx(program string, j *job) (*exec.Cmd, error) {
	user, most := "", ""
	if os.Geteuid() == 0 {
		user = "user root;"
	}
	if j.overload {
		most = fmt.Sprintf(" max_conns=%d", fullMost)
	}
	var servers, critical strings.Builder
	for _, a := range j.instances {
		fmt.Fprintf(&servers, "server %s max_fails=1 fail_timeout=%s%s; ", a, aside, most)
		fmt.Fprintf(&critical, "server %s; ", a)
	}
	const location = `
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host;
      proxy_connect_timeout %[1]s;
      proxy_read_timeout %[2]s;
      proxy_send_timeout %[2]s;
      proxy_next_upstream error timeout invalid_header http_500 http_502 http_503 http_504;
      proxy_next_upstream_tries %[3]d;
`
	settings := fmt.Sprintf(location, connectTime, tryTime, 1+furtherTries)
	extra := ""
	if j.overload {
		extra = "location = /critical { proxy_pass http://critical;" + settings + "}"
	}
	conf, err := j.file("nginx.conf", fmt.Sprintf(`%s
worker_processes 1;
daemon off;
pid nginx.pid;
error_log stderr crit;
events { worker_connections %d; }
http {
  access_log off;
  tcp_nodelay on;
  keepalive_requests 1000000;
  keepalive_timeout 60s;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  upstream service { zone service 256k; least_conn; %skeepalive 256; keepalive_requests 1000000; }
  upstream critical { zone critical 256k; %skeepalive 64; }
  server {
    listen %s backlog=4096;
    %s
    location / { proxy_pass http://service;%s}
  }
}
`, user, mostConns, &servers, &critical, j.listen, extra, settings))
	return exec.Command(program, "-p", j.dir, "-c", conf, "-e", "stderr"), err
}
