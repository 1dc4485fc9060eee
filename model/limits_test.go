package model

import (
	"testing"
	"time"
)

// TestFilledLimits: the bounds that hold where nothing is written follow from the
// files that the process may open.
func TestFilledLimits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		what string
		l    *ServiceLimits
		file int
		want ServiceLimits
	}{
		{"not known", nil, 0, ServiceLimits{Wait: DefaultWait}},
		{"few", nil, 100, ServiceLimits{Connections: 64, Pending: 64, Wait: DefaultWait}},
		{"usual", nil, 20_000, ServiceLimits{Connections: 5000, Pending: 5000, Wait: DefaultWait}},
		{"many", nil, 1 << 20, ServiceLimits{Connections: 1 << 18, Pending: 8192, Wait: DefaultWait}},
		{"written", &ServiceLimits{Requests: 3, Connections: 7, Pending: NoLimit, Wait: time.Minute, Retries: 2}, 20_000,
			ServiceLimits{Requests: 3, Connections: 7, Pending: NoLimit, Wait: time.Minute, Retries: 2}},
	} {
		if got := c.l.Filled(c.file); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.what, got, c.want)
		}
	}
}
