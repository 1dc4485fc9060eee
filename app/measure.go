package app

import (
	"strconv"
	"time"

	"github.com/naru-mesh/naru/export"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/upstream"
	"github.com/naru-mesh/naru/wire/loop"
)

// measure adds what other rooms count to the registry; each is read when
// somebody asks.
func (g *gateway) measure() {
	start := time.Now()
	r := g.registry
	export.Process(r, Version())
	r.Func("naru_uptime_seconds", "Time since naru started, in seconds.", observe.KindGauge, nil,
		func(emit func(float64, ...string)) { emit(time.Since(start).Seconds()) })
	r.Func("naru_listener_connections", "Open client connections (udp: sessions of clients), by bound address.", observe.KindGauge, []string{"address", "protocol"},
		func(emit func(float64, ...string)) {
			for _, b := range g.proxy.Bound() {
				emit(float64(b.Conns), b.Addr.String(), string(b.Protocol))
			}
		})
	r.Func("naru_client_certificates_total", "Connections whose client has shown a valid certificate.", observe.KindCounter, nil,
		func(emit func(float64, ...string)) { emit(float64(g.security.Verified())) })
	g.measureLoops()
	g.measureServices()
	g.measureTiers()
	g.measureOverload()
	r.Func("naru_faults_total", "Requests that a fault of their route has delayed, aborted or slowed down, by kind.", observe.KindCounter, []string{"kind"},
		func(emit func(float64, ...string)) {
			emit(float64(g.faults.Delays.Load()), "delay")
			emit(float64(g.faults.Aborts.Load()), "abort")
			emit(float64(g.faults.Slow.Load()), "slow")
		})
	g.measureShapes()
	g.measureChoices()
	g.measureCertificates()
}

func (g *gateway) measureLoops() {
	each := func(name, help string, kind observe.Kind, value func(*loop.Stats) float64) {
		g.registry.Func(name, help, kind, []string{"loop"}, func(emit func(float64, ...string)) {
			for i, s := range g.driver.Stats() {
				emit(value(&s), strconv.Itoa(i))
			}
		})
	}
	each("naru_loop_cpu_seconds_total", "Processor time of the event loop's thread, in seconds.", observe.KindCounter,
		func(s *loop.Stats) float64 { return s.CPU.Seconds() })
	each("naru_loop_events_total", "Events that the kernel gave the loop.", observe.KindCounter,
		func(s *loop.Stats) float64 { return float64(s.Events) })
	each("naru_loop_waits_total", "Times the loop asked the kernel for events.", observe.KindCounter,
		func(s *loop.Stats) float64 { return float64(s.Waits) })
	each("naru_loop_accepted_total", "Connections accepted from clients.", observe.KindCounter,
		func(s *loop.Stats) float64 { return float64(s.Accepted) })
	each("naru_loop_dialled_total", "Connections made to services.", observe.KindCounter,
		func(s *loop.Stats) float64 { return float64(s.Dialled) })
	each("naru_loop_connections", "Open connections, to clients and services.", observe.KindGauge,
		func(s *loop.Stats) float64 { return float64(s.Open) })
	each("naru_loop_buffered_bytes", "Output that the kernel has not taken yet, in bytes.", observe.KindGauge,
		func(s *loop.Stats) float64 { return float64(s.Buffered) })
	each("naru_loop_panics_total", "Panics in handlers; each ended at most one connection and is in the log.", observe.KindCounter,
		func(s *loop.Stats) float64 { return float64(s.Panics) })
}

func (g *gateway) measureServices() {
	service := func(name, help string, kind observe.Kind, value func(*upstream.ServiceStats) float64) {
		g.registry.Func(name, help, kind, []string{"service"}, func(emit func(float64, ...string)) {
			g.clusters.Stats(func(s *upstream.ServiceStats) { emit(value(s), s.Service) })
		})
	}
	service("naru_service_connections", "Open connections to the service.", observe.KindGauge,
		func(s *upstream.ServiceStats) float64 { return float64(s.Open) })
	service("naru_service_connections_idle", "Connections to the service that wait for a request.", observe.KindGauge,
		func(s *upstream.ServiceStats) float64 { return float64(s.Idle) })
	service("naru_service_connects_total", "Connections begun to the service.", observe.KindCounter,
		func(s *upstream.ServiceStats) float64 { return float64(s.Connects) })
	g.registry.Func("naru_service_connect_failures_total", "Connections to the service that were not established, by reason.", observe.KindCounter, []string{"service", "reason"},
		func(emit func(float64, ...string)) {
			reasons := upstream.ConnectReasons()
			g.clusters.Stats(func(s *upstream.ServiceStats) {
				for i, n := range s.Failures {
					if n > 0 {
						emit(float64(n), s.Service, reasons[i].String())
					}
				}
			})
		})
	g.registry.Func("naru_service_limit", "Requests that may run on the service at once, where it has limits: written, or found.", observe.KindGauge, []string{"service"},
		func(emit func(float64, ...string)) {
			g.clusters.Stats(func(s *upstream.ServiceStats) {
				if s.Limit > 0 {
					emit(float64(s.Limit), s.Service)
				}
			})
		})
	g.registry.Func("naru_service_refused_total", "Requests that the service's limits have not let in, by the priority of their route.", observe.KindCounter, []string{"service", "priority"},
		func(emit func(float64, ...string)) {
			g.clusters.Stats(func(s *upstream.ServiceStats) {
				for i, n := range s.Refused {
					if n > 0 {
						emit(float64(n), s.Service, upstream.Class(i).String())
					}
				}
			})
		})
	g.measureLimits()
	g.measureRetries()
	g.registry.Func("naru_service_endpoint_healthy", "1 where health checks find the endpoint healthy or there are none, 0 where not.", observe.KindGauge, []string{"service", "endpoint"},
		func(emit func(float64, ...string)) {
			g.clusters.Stats(func(s *upstream.ServiceStats) {
				for _, ep := range s.Endpoints {
					healthy := 0.0
					if ep.Healthy {
						healthy = 1
					}
					emit(healthy, s.Service, ep.Addr.String())
				}
			})
		})
	g.measureEjections()
	g.measureTries()
	g.registry.Func("naru_service_endpoint_picks_total", "Times the endpoint was chosen.", observe.KindCounter, []string{"service", "endpoint"},
		func(emit func(float64, ...string)) {
			g.clusters.Stats(func(s *upstream.ServiceStats) {
				for _, ep := range s.Endpoints {
					emit(float64(ep.Picks), s.Service, ep.Addr.String())
				}
			})
		})
}

// measureEjections counts what failure detection does.
func (g *gateway) measureEjections() {
	each := func(name, help string, kind observe.Kind, labels []string, value func(s *upstream.ServiceStats, emit func(float64, ...string))) {
		g.registry.Func(name, help, kind, labels, func(emit func(float64, ...string)) {
			g.clusters.Stats(func(s *upstream.ServiceStats) { value(s, emit) })
		})
	}
	each("naru_service_endpoint_ejected", "1 while failure detection keeps requests from the endpoint.", observe.KindGauge, []string{"service", "endpoint"},
		func(s *upstream.ServiceStats, emit func(float64, ...string)) {
			for i := range s.Endpoints {
				out := 0.0
				if s.Endpoints[i].Ejection != "" {
					out = 1
				}
				emit(out, s.Service, s.Endpoints[i].Addr.String())
			}
		})
	reasons := upstream.EjectionReasons()
	each("naru_service_ejections_total", "Times an endpoint of the service was ejected, by reason.", observe.KindCounter, []string{"service", "reason"},
		func(s *upstream.ServiceStats, emit func(float64, ...string)) {
			for i, n := range s.Ejections {
				if n > 0 {
					emit(float64(n), s.Service, reasons[i])
				}
			}
		})
	each("naru_service_probes_total", "Requests that have probed an ejected endpoint of the service, failed ones included.", observe.KindCounter, []string{"service"},
		func(s *upstream.ServiceStats, emit func(float64, ...string)) { emit(float64(s.Probes), s.Service) })
	each("naru_service_probes_failed_total", "Requests that have probed an ejected endpoint of the service, and failed.", observe.KindCounter, []string{"service"},
		func(s *upstream.ServiceStats, emit func(float64, ...string)) {
			emit(float64(s.ProbesFailed), s.Service)
		})
	each("naru_service_ejections_held_total", "Times an endpoint of the service was not ejected because it was the last, or too many were.", observe.KindCounter, []string{"service"},
		func(s *upstream.ServiceStats, emit func(float64, ...string)) { emit(float64(s.Held), s.Service) })
}

func (g *gateway) measureRetries() {
	byCause := func(name, help string, counts func(*upstream.RetryStats, upstream.Cause) uint64) {
		g.registry.Func(name, help, observe.KindCounter, []string{"service", "cause"}, func(emit func(float64, ...string)) {
			g.clusters.Stats(func(s *upstream.ServiceStats) {
				for _, c := range upstream.Causes() {
					if n := counts(&s.Retries, c); n > 0 {
						emit(float64(n), s.Service, c.String())
					}
				}
			})
		})
	}
	byCause("naru_service_retries_total", "Tries after the first that requests to the service caused, by why: closed (a pooled connection), unconnected, reset, timeout, status, grpc_status, hedge, fallback (the new version of a rollout could not be asked).",
		func(s *upstream.RetryStats, c upstream.Cause) uint64 { return s.Made[c] })
	byCause("naru_service_retries_won_total", "Tries after the first that brought the answer, below 500 and of gRPC no failure of the service, by why they were made.",
		func(s *upstream.RetryStats, c upstream.Cause) uint64 { return s.Won[c] })
	g.registry.Func("naru_service_retries_refused_total", "Tries after the first that were not made though the rule would have allowed them, by reason: retry_budget, retry_late, retry_after, retry_limit, retry_body.", observe.KindCounter, []string{"service", "reason"},
		func(emit func(float64, ...string)) {
			reasons := upstream.NoRetries()
			g.clusters.Stats(func(s *upstream.ServiceStats) {
				for i, n := range s.Retries.Refused {
					if n > 0 {
						emit(float64(n), s.Service, reasons[i].String())
					}
				}
			})
		})
}
