package main

import (
	"fmt"
	"os/exec"
	"strings"
)

// startEnvoy, by its documentation of retries, health checks and outlier
// detection: retries go to another host (previous_hosts); for POST only where
// nothing has been sent. no_traffic_interval is that of the checks, or a host
// is asked once a minute until the first request. Of outlier detection the
// defaults stay but where they switch a method off with three hosts: the
// minimum of hosts (5), the requests needed in an interval (50 and 100), and
// failure_percentage, which is counted and not enforced; half failing shall be
// enough. The interval is that of the checks instead of 10 s, and a host is
// put aside for as long as at nginx instead of 30 s. The retry budget is
// larger than the default of a fifth of what is under way: with one host of
// three hanging, a third is. Slow start is on.
//
// Overload: circuit breakers know the capacity, and routing priority HIGH has
// thresholds of its own for the critical path. What waits is bounded by what
// can be done in 250 ms. A host that is the only one is not put aside.
func startEnvoy(program string, j *job) (*exec.Cmd, error) {
	var endpoints strings.Builder
	for _, a := range j.instances {
		fmt.Fprintf(&endpoints, "      - endpoint: {address: {socket_address: {address: %s, port_value: %d}}, health_check_config: {}}\n", a.Addr(), a.Port())
	}
	retry := func(on string) string {
		return fmt.Sprintf(`{retry_on: "%s", num_retries: %d, per_try_timeout: %s, host_selection_retry_max_attempts: 5, retry_host_predicate: [{name: envoy.retry_host_predicates.previous_hosts, typed_config: {"@type": type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate}}]}`,
			on, furtherTries, tryTime)
	}
	reads, writes := retry("5xx,reset,connect-failure,refused-stream"), retry("connect-failure,refused-stream")
	const budget = "retry_budget: {budget_percent: {value: 50}, min_retry_concurrency: 20}"
	limits := fmt.Sprintf("{priority: DEFAULT, max_connections: %[1]d, max_pending_requests: %[1]d, max_requests: %[1]d, %[2]s}", mostConns, budget)
	outliers := fmt.Sprintf(`    outlier_detection:
      interval: %s
      base_ejection_time: %s
      max_ejection_percent: 50
      consecutive_5xx: 5
      success_rate_minimum_hosts: 3
      success_rate_request_volume: 20
      failure_percentage_minimum_hosts: 3
      failure_percentage_request_volume: 20
      failure_percentage_threshold: 40
      enforcing_failure_percentage: 100
`, checkTime, aside)
	critical := ""
	if j.overload {
		const pending = int(capacity) / 4
		outliers = ""
		limits = fmt.Sprintf("{priority: DEFAULT, max_connections: %[1]d, max_pending_requests: %[2]d, max_requests: %[1]d}, {priority: HIGH, max_connections: %[1]d, max_pending_requests: %[2]d, max_requests: %[1]d}",
			poolMost, pending)
		critical = fmt.Sprintf("\n              - {match: {path: /critical}, route: {cluster: service, priority: HIGH, timeout: 5s, retry_policy: %s}}", reads)
	}
	conf, err := j.file("envoy.yaml", fmt.Sprintf(`static_resources:
  listeners:
  - name: all
    address: {socket_address: {address: %s, port_value: %d}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: all
          codec_type: AUTO
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:%s
              - {match: {prefix: "/", headers: [{name: ":method", string_match: {exact: POST}}]}, route: {cluster: service, timeout: 5s, retry_policy: %s}}
              - {match: {prefix: "/"}, route: {cluster: service, timeout: 5s, retry_policy: %s}}
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
  clusters:
  - name: service
    type: STATIC
    connect_timeout: %s
    lb_policy: LEAST_REQUEST
    least_request_lb_config: {slow_start_config: {slow_start_window: %s}}
    circuit_breakers: {thresholds: [%s]}
    health_checks:
    - timeout: %s
      interval: %s
      no_traffic_interval: %s
      unhealthy_threshold: %d
      healthy_threshold: %d
      http_health_check: {path: %s}
%s    load_assignment:
      cluster_name: service
      endpoints:
      - lb_endpoints:
%s`, j.listen.Addr(), j.listen.Port(), critical, writes, reads, connectTime, slowStart, limits, checkTime, checkTime, checkTime, checksBad, checksGood, healthPath,
		outliers, strings.ReplaceAll(endpoints.String(), "      - endpoint", "        - endpoint")))
	return exec.Command(program, "-c", conf, "--concurrency", "1", "--disable-hot-restart", "--log-level", "error"), err
}
