package peer

import (
	"fmt"
	"os"
	"os/exec"
)

// startNginx: one worker, a pool of connections to the service, buffers that
// hold the largest bodies that occur without a temporary file.
func startNginx(program string, j *Job) (*exec.Cmd, error) {
	user := ""
	if os.Geteuid() == 0 {
		user = "user root;"
	}
	load, stream := "", ""
	if module := nginxStream(); module != "" {
		load = "load_module " + module + ";"
		stream = fmt.Sprintf("stream { server { listen %s backlog=4096; tcp_nodelay on; proxy_pass %s; } }", j.Pipe, j.Origin)
	}
	conf, err := write(j.Dir, "nginx.conf", `%s
%s
worker_processes 1;
daemon off;
pid nginx.pid;
error_log stderr crit;
events { worker_connections %d; }
http {
  access_log off;
  tcp_nodelay on;
  keepalive_requests 1000000000;
  keepalive_timeout 300s;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  client_body_buffer_size 128k;
  proxy_buffers 16 64k;
  proxy_busy_buffers_size 128k;
  proxy_max_temp_file_size 0;
  upstream calls { server %s; keepalive 1024; keepalive_requests 1000000000; keepalive_timeout 300s; }
  upstream service { server %s; keepalive 1024; keepalive_requests 1000000000; keepalive_timeout 300s; }
  server {
    listen %s backlog=4096;
    listen %s ssl backlog=4096;
    listen %s http2 backlog=4096;
    server_name %s;
    ssl_certificate %s;
    ssl_certificate_key %s;
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_tickets off;
    location %s { grpc_pass grpc://calls; grpc_set_header X-Forwarded-For $proxy_add_x_forwarded_for; }
    location / {
      proxy_pass http://service;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-Host $host;
      proxy_set_header X-Request-Id $request_id;
    }
  }
}
%s
`, load, user, 2*j.Conns, j.Calls, j.Origin, j.Plain, j.Secure, j.Streams, j.Host, j.Cert.ChainFile, j.Cert.KeyFile, CallPrefix, stream)
	return exec.Command(program, "-p", j.Dir, "-c", conf, "-e", "stderr"), err
}

// nginxStream is the module that passes connections on, which Debian has in a
// package of its own; "" where it is not installed.
func nginxStream() string {
	const path = "/usr/lib/nginx/modules/ngx_stream_module.so"
	if _, err := os.Stat(path); err != nil {
		return ""
	}
	return path
}

// startHAProxy: one thread, connections to the service shared by all clients.
func startHAProxy(program string, j *Job) (*exec.Cmd, error) {
	conf, err := write(j.Dir, "haproxy.cfg", `global
  nbthread 1
  maxconn %d
  tune.ssl.cachesize 0
defaults
  mode http
  timeout connect 5s
  timeout client 300s
  timeout http-keep-alive 300s
  timeout server 60s
  http-reuse always
  option forwardfor
frontend all
  maxconn %d
  bind %s backlog 4096
  bind %s backlog 4096 ssl crt %s ssl-min-ver TLSv1.2 no-tls-tickets
  bind %s backlog 4096 proto h2
  use_backend calls if { path_beg %s }
  http-request set-header X-Forwarded-Proto https if { ssl_fc }
  http-request set-header X-Forwarded-Proto http unless { ssl_fc }
  http-request set-header X-Forwarded-Host %%[req.hdr(Host)]
  unique-id-format %%[uuid()]
  unique-id-header X-Request-Id
  default_backend service
backend service
  server s %s pool-max-conn 1024
backend calls
  server s %s proto h2
frontend pipe
  mode tcp
  bind %s backlog 4096
  maxconn %d
  default_backend end
backend end
  mode tcp
  server s %s
`, j.Conns, j.Conns, j.Plain, j.Secure, j.Cert.Both, j.Streams, CallPrefix, j.Origin, j.Calls, j.Pipe, j.Conns, j.Origin)
	return exec.Command(program, "-db", "-q", "-f", conf), err
}

// startCaddy: one processor, a pool of connections to the service. It adds
// X-Forwarded-* by itself.
func startCaddy(program string, j *Job) (*exec.Cmd, error) {
	conf, err := write(j.Dir, "Caddyfile", `{
	admin off
	auto_https off
	servers {
		protocols h1 h2 h2c
	}
}
(all) {
	reverse_proxy %s* h2c://%s
	reverse_proxy %s {
		header_up X-Request-Id {http.request.uuid}
		transport http {
			keepalive_idle_conns 1024
			keepalive_idle_conns_per_host 1024
			compression off
			versions 1.1
		}
	}
}
http://:%d {
	bind 127.0.0.1
	import all
}
http://:%d {
	bind 127.0.0.1
	import all
}
https://%s:%d {
	bind 127.0.0.1
	tls %s %s
	import all
}
`, CallPrefix, j.Calls, j.Origin, j.Plain.Port(), j.Streams.Port(), j.Host, j.Secure.Port(), j.Cert.ChainFile, j.Cert.KeyFile)
	cmd := exec.Command(program, "run", "--config", conf, "--adapter", "caddyfile")
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1", "HOME="+j.Dir, "XDG_CONFIG_HOME="+j.Dir, "XDG_DATA_HOME="+j.Dir)
	return cmd, err
}

// startEnvoy: one worker thread, no limits on the pool, no access log.
func startEnvoy(program string, j *Job) (*exec.Cmd, error) {
	const manager = `
        - name: envoy.filters.network.http_connection_manager
          typed_config:
            "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
            stat_prefix: all
            codec_type: AUTO
            use_remote_address: true
            generate_request_id: true
            route_config:
              virtual_hosts:
              - name: all
                domains: ["*"]
                routes:
                - {match: {prefix: "/bench.Bench/"}, route: {cluster: calls, append_x_forwarded_host: true}}
                - {match: {prefix: "/"}, route: {cluster: service, append_x_forwarded_host: true, timeout: 60s}}
            http_filters:
            - name: envoy.filters.http.router
              typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}`
	conf, err := write(j.Dir, "envoy.yaml", `static_resources:
  listeners:
  - name: plain
    address: {socket_address: {address: 127.0.0.1, port_value: %d}}
    filter_chains:
    - filters:%s
  - name: streams
    address: {socket_address: {address: 127.0.0.1, port_value: %d}}
    filter_chains:
    - filters:%s
  - name: secure
    address: {socket_address: {address: 127.0.0.1, port_value: %d}}
    filter_chains:
    - filters:%s
      transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          disable_stateless_session_resumption: true
          common_tls_context:
            tls_certificates: [{certificate_chain: {filename: %s}, private_key: {filename: %s}}]
  - name: pipe
    address: {socket_address: {address: 127.0.0.1, port_value: %d}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.tcp_proxy
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
          stat_prefix: pipe
          cluster: service
  clusters:
  - name: calls
    type: STATIC
    connect_timeout: 5s
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
    circuit_breakers: {thresholds: [{max_connections: 20000, max_pending_requests: 20000, max_requests: 20000}]}
    load_assignment:
      cluster_name: calls
      endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %d}}}}]}]
  - name: service
    type: STATIC
    connect_timeout: 5s
    circuit_breakers: {thresholds: [{max_connections: 20000, max_pending_requests: 20000, max_requests: 20000}]}
    load_assignment:
      cluster_name: service
      endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %d}}}}]}]
`, j.Plain.Port(), manager, j.Streams.Port(), manager, j.Secure.Port(), manager, j.Cert.ChainFile, j.Cert.KeyFile, j.Pipe.Port(), j.Calls.Port(), j.Origin.Port())
	return exec.Command(program, "-c", conf, "--concurrency", "1", "--disable-hot-restart", "--log-level", "error"), err
}
