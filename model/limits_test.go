package model

import (
	"testing"
	"time"
)

// TestBulkheads: the bounds that hold where nothing is written follow from the
// files that the process may open.
func TestBulkheads(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		what string
		s    Service
		file int
		want ServiceLimits
	}{
		{"not known", Service{}, 0, ServiceLimits{Wait: DefaultWait}},
		{"few", Service{}, 100, ServiceLimits{Connections: 64, Pending: 64, Wait: DefaultWait}},
		{"usual", Service{}, 20_000, ServiceLimits{Connections: 5000, Pending: 5000, Wait: DefaultWait}},
		{"many", Service{}, 1 << 20, ServiceLimits{Connections: 1 << 18, Pending: 8192, Wait: DefaultWait}},
		{"http2", Service{Protocol: HTTP2}, 20_000, ServiceLimits{Connections: 50, Pending: 5000, Wait: DefaultWait}},
		{"http2, few", Service{Protocol: HTTP2}, 1000, ServiceLimits{Connections: 16, Pending: 250, Wait: DefaultWait}},
		{"mesh", Service{Identity: "x", MaxStreams: 10}, 20_000, ServiceLimits{Connections: 500, Pending: 5000, Wait: DefaultWait}},
		{"auto may be HTTP/1.1", Service{Protocol: HTTPAuto}, 20_000, ServiceLimits{Connections: 5000, Pending: 5000, Wait: DefaultWait}},
		{"written", Service{Limits: &ServiceLimits{Requests: 3, Connections: 7, Pending: NoLimit, Wait: time.Minute, Retries: 2}}, 20_000,
			ServiceLimits{Requests: 3, Connections: 7, Pending: NoLimit, Wait: time.Minute, Retries: 2}},
	} {
		if got := c.s.Bulkheads(c.file); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.what, got, c.want)
		}
	}
}
