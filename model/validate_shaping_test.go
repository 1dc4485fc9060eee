package model

import (
	"strings"
	"testing"
	"time"
)

// TestShapesAreChecked: what cannot be is told and left out, the rest holds.
func TestShapesAreChecked(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		shape Shape
		times Timeouts
		want  string // of the only Problem; "" is none
		then  Shape
	}{
		"all":  {shape: Shape{Requests: 100, Per: time.Minute, Burst: 5, Queue: 50, Wait: time.Second, Upload: 1, Download: MostRate, TotalUpload: 1, TotalDownload: MostRate}},
		"none": {shape: Shape{Off: true}},
		"none and some": {shape: Shape{Off: true, Requests: 5}, then: Shape{Off: true, Requests: 5},
			want: "warning contradiction: route r0 has a shape that is off and says more: there is none"},
		"nothing": {want: "warning unused: route r0 has a shape that bounds nothing"},
		"a rate below nothing": {shape: Shape{Requests: -1, Upload: 5}, then: Shape{Upload: 5},
			want: "error bad-shape: route r0 has a shape with -1 requests every 1s; its requests go on at once"},
		"too often":  {shape: Shape{Requests: 2, Per: time.Microsecond}, want: "error bad-shape: route r0 has a shape with 2 requests every 1µs; its requests go on at once"},
		"too seldom": {shape: Shape{Requests: 1, Per: 2 * time.Hour}, want: "error bad-shape: route r0 has a shape with 1 requests every 2h0m0s; its requests go on at once"},
		"a burst below nothing": {shape: Shape{Requests: 1, Burst: -1},
			want: "error bad-shape: route r0 has a shape with a burst of -1 requests; its requests go on at once"},
		"a burst of days": {shape: Shape{Requests: 1, Burst: 1e6},
			want: "error bad-shape: route r0 has a shape with a burst of 1000000 requests; its requests go on at once"},
		"a long queue": {shape: Shape{Requests: 1, Queue: 100_001},
			want: "error bad-shape: route r0 has a shape with a queue of 100001 requests; its requests go on at once"},
		"a long wait": {shape: Shape{Requests: 1, Wait: 2 * time.Hour},
			want: "error bad-shape: route r0 has a shape with a wait of 2h0m0s; its requests go on at once"},
		"a queue without a rate": {shape: Shape{Queue: 5, Upload: 5}, then: Shape{Queue: 5, Upload: 5},
			want: "warning unused: route r0 has a shape with a burst, a queue or a wait, but without requests: all go on at once"},
		"an upload below nothing": {shape: Shape{Requests: 1, Upload: -1}, then: Shape{Requests: 1},
			want: "error bad-shape: route r0 has a shape with the upload -1; there is no such bound"},
		"a total that is no total": {shape: Shape{TotalDownload: MostRate + 1, Download: 5}, then: Shape{Download: 5},
			want: "error bad-shape: route r0 has a shape with the totalDownload 1099511627777; there is no such bound"},
		"each more than all": {shape: Shape{Download: 10, TotalDownload: 5}, then: Shape{Download: 10, TotalDownload: 5},
			want: "warning contradiction: route r0 lets each download pass at 10 bytes a second, but all together at 5: that bounds each of them, too"},
		"a wait beyond the request's time": {shape: Shape{Requests: 1, Wait: time.Minute}, times: Timeouts{Request: time.Second}, then: Shape{Requests: 1, Wait: time.Minute},
			want: "warning contradiction: requests of route r0 may wait 1m0s for their turn, but have only 1s: those that would wait longer are refused"},
		"a wait shorter than a turn": {shape: Shape{Requests: 1, Per: time.Minute}, then: Shape{Requests: 1, Per: time.Minute},
			want: "warning contradiction: requests of route r0 wait at most 5s, but the next turn comes after 1m0s: most are refused"},
		"an idle time beyond the request's": {shape: Shape{Requests: 1}, times: Timeouts{Request: time.Second, Idle: time.Minute}, then: Shape{Requests: 1},
			want: "warning long-timeout: route r0 lets a response stall for 1m0s, but the whole request has only 1s"},
		"an idle time beyond the stream's": {shape: Shape{Requests: 1}, times: Timeouts{Stream: time.Second, Idle: time.Minute}, then: Shape{Requests: 1},
			want: "warning long-timeout: route r0 lets a response stall for 1m0s, but it may last only 1s"},
	} {
		conf := shop()
		conf.Routes[0].Shape = &c.shape
		conf.Routes[0].Timeouts = c.times
		before := c.shape
		out, problems := Validate(conf)
		var list []string
		for _, p := range problems {
			list = append(list, string(p.Severity)+" "+p.Code+": "+p.Message)
		}
		if got := strings.Join(list, "\n"); got != c.want {
			t.Errorf("%s: said\n%s\nwant\n%s", name, got, c.want)
		}
		if c.want == "" {
			c.then = before
		}
		if got := *out.Routes[0].Shape; got != c.then || c.shape != before {
			t.Errorf("%s: it became %+v, want %+v", name, got, c.then)
		}
	}
}

func TestShapeDefaults(t *testing.T) {
	t.Parallel()
	if got := (&Shape{Requests: 5}).Filled(); got != (Shape{Requests: 5, Per: time.Second, Burst: 1, Queue: 100, Wait: 5 * time.Second}) {
		t.Errorf("filled %+v", got)
	}
	if got := (&Shape{Queue: -1}).Filled(); got.Queue != 0 {
		t.Errorf("no queue is %d", got.Queue)
	}
}
