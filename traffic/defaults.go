package traffic

import "strings"

// byDefault is who gives what nobody says.
const byDefault = "default"

// routeDefaults, flowDefaults and serviceDefaults are what a field is where nobody says it, for
// people: "field: text". They are in the order of the fields; one that is missing
// is a switch of its group, or has no meaning alone (defaults_test.go).
var (
	routeDefaults = []string{
		"timeouts.request: off",
		"timeouts.backend: 60s, or the request's where that is longer; in the mesh off",
		"timeouts.idle: 5m, 1h for gRPC and what is upgraded",
		"timeouts.stream: off",
		"retry: one more, on another endpoint, where it is safe",
		"hedge: off",
		"shape: as fast as they come",
		"fault: none",
		"session: off",
		"priority: normal",
		"rollout: none",
	}
	flowDefaults    = []string{"priority: normal"}
	serviceDefaults = []string{
		"balance: peak-ewma",
		"subsetSize: all",
		"slowStart: at once",
		"health: no checks",
		"ejection.failures: 5",
		"ejection.connects: 5",
		"ejection.successRate: 80%",
		"ejection.deviation: 1.9",
		"ejection.slowness: 3",
		"ejection.maxEjected: 50%",
		"ejection.backoff: 1s",
		"ejection.maxBackoff: 1m, or the backoff where that is longer",
		"locality.prefer: zone",
		"locality.minEndpoints: 6",
		"locality.overprovisioning: 140",
		"locality.panic: 0, where none is healthy",
		"limits.requests: no bound",
		"limits.connections: a quarter of the files that naru may open",
		"limits.endpointConnections: no bound",
		"limits.pending: a quarter of the files that naru may open, 64 to 8192",
		"limits.wait: 1s",
		"limits.retries: no bound but the retry budget",
		"retryBudget.percent: 20",
		"retryBudget.minPerSecond: 10",
		"retryBudget.ttl: 10s",
		"connect: 5s",
		"idle: 30s",
		"maxIdle: 1024",
		"maxStreams: 100",
	}
)

// RouteDefaults adds to what is said of a Route what nobody says, so that every
// field is there, in the order of the fields.
func RouteDefaults(said []Setting) []Setting { return withDefaults(said, routeFields, routeDefaults) }

// ServiceDefaults is RouteDefaults for a Service.
func ServiceDefaults(said []Setting) []Setting {
	return withDefaults(said, serviceFields, serviceDefaults)
}

func withDefaults(said []Setting, fields []field, texts []string) (all []Setting) {
	unsaid := make(map[string]string, len(texts))
	for _, t := range texts {
		name, value, _ := strings.Cut(t, ": ")
		unsaid[name] = value
	}
	for _, s := range said {
		delete(unsaid, s.Field)
		if group, off := strings.CutSuffix(s.Field, ".off"); off { // nothing of it counts
			for name := range unsaid {
				if strings.HasPrefix(name, group+".") {
					delete(unsaid, name)
				}
			}
		}
	}
	for i := range fields {
		for _, s := range said {
			if s.Field == fields[i].name {
				all = append(all, s)
			}
		}
		if value, ok := unsaid[fields[i].name]; ok {
			all = append(all, Setting{Field: fields[i].name, Value: value, By: byDefault})
		}
	}
	return all
}
