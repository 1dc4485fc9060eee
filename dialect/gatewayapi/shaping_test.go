package gatewayapi

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/naru-mesh/naru/dialect"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/source"
)

// readTraffic gives what a policy says of a route, and what is wrong with it.
func readTraffic(t *testing.T, text string) (*model.Route, string) {
	t.Helper()
	doc, problems := dialect.Read(source.Document{Path: "in.yaml", Line: 1, Data: []byte(text)})
	if len(problems) > 0 {
		t.Fatalf("%q: %v", text, problems)
	}
	r := &reader{doc: doc, node: doc.Root}
	var in struct {
		Fault    *Fault          `json:"fault,omitempty"`
		Shape    *Shape          `json:"shape,omitempty"`
		Timeouts *StreamTimeouts `json:"timeouts,omitempty"`
	}
	r.decode(&in)
	out := &model.Route{Shape: r.shape("shape", in.Shape)}
	if f := r.fault("fault", in.Fault); f != nil {
		out.Filters = []model.Filter{{Fault: f}}
	}
	r.streamTimeouts("timeouts", in.Timeouts, &out.Timeouts)
	var wrong []string
	for _, p := range r.problems {
		wrong = append(wrong, p.Origin.Field+": "+p.Message)
	}
	return out, strings.Join(wrong, "\n")
}

func TestTrafficIsRead(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]model.Route{
		"timeouts: {idle: 30s, duration: 1h}":     {Timeouts: model.Timeouts{Idle: 30 * time.Second, Stream: time.Hour}},
		"timeouts: {idle: 0s}":                    {Timeouts: model.Timeouts{Idle: -1}},
		"shape: {requests: {rate: 20}}":           {Shape: &model.Shape{Requests: 20}},
		"shape: {download: 1Mi, totalUpload: 5k}": {Shape: &model.Shape{Download: 1 << 20, TotalUpload: 5000}},
		"shape: {requests: {rate: 5, per: 1m, burst: 3, queue: 0, wait: 10s}, upload: \"7\", totalDownload: 1Gi}": {
			Shape: &model.Shape{Requests: 5, Per: time.Minute, Burst: 3, Queue: -1, Wait: 10 * time.Second, Upload: 7, TotalDownload: 1 << 30}},
		"fault: {delay: {time: 2s, percent: 10}}": {Filters: []model.Filter{{Fault: &model.Fault{Delay: 2 * time.Second, DelayShare: 100_000}}}},
		"fault: {header: x-fault, abort: {status: 503, grpc: 14, percent: 0.5}, body: {request: 1Ki, response: 2Ki}}": {
			Filters: []model.Filter{{Fault: &model.Fault{Header: "x-fault", Status: 503, GRPC: 14, AbortShare: 5000, RequestRate: 1 << 10, ResponseRate: 2 << 10}}}},
	} {
		got, wrong := readTraffic(t, text)
		if wrong != "" || !reflect.DeepEqual(*got, want) {
			t.Errorf("%s: %+v, want %+v; %s", text, *got, want, wrong)
		}
	}
}

func TestTrafficMistakes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"timeouts: {idle: soon}":                       "timeouts.idle: soon is not a duration",
		"shape: {}":                                    "shape: a shape that bounds nothing",
		"shape: {download: fast}":                      "shape.download: fast is no number of bytes a second",
		"shape: {download: 9999Gi}":                    "shape.download: 9999Gi is no number of bytes a second",
		"shape: {upload: \"-1\"}":                      "shape.upload: -1 is no number of bytes a second",
		"shape: {requests: {rate: 0}}":                 "shape.requests.rate: a rate is one an hour to 1000000 a second",
		"shape: {requests: {rate: 1, per: 2h}}":        "shape.requests.rate: a rate is one an hour to 1000000 a second",
		"shape: {requests: {rate: 1, burst: 99999}}":   "shape.requests.burst: a burst is at most what an hour lets pass",
		"shape: {requests: {rate: 1, queue: 999999}}":  "shape.requests.queue: a queue holds 0 to 100000 requests",
		"shape: {requests: {rate: 1, wait: 2h}}":       "shape.requests.wait: requests wait up to 1h",
		"fault: {}":                                    "fault: a fault that does nothing",
		"fault: {header: a b, abort: {status: 503}}":   "fault.header: \"a b\" is not a header name",
		"fault: {delay: {percent: 5}}":                 "fault.delay: a delay has a time",
		"fault: {delay: {time: 2h}}":                   "fault.delay.time: a fault delays by up to 1h",
		"fault: {abort: {percent: 5}}":                 "fault.abort: an abort has a status",
		"fault: {abort: {status: 99}}":                 "fault.abort.status: a fault answers with a status from 200 to 599",
		"fault: {abort: {grpc: 17}}":                   "fault.abort.grpc: a gRPC status is 1 to 16",
		"fault: {body: {}}":                            "fault.body: a slow body is that of requests or responses",
		"fault: {body: {response: 1Ki, percent: 101}}": "fault.body.percent: a share of the requests is more than 0 and at most 100 percent",
	} {
		got, wrong := readTraffic(t, text)
		if wrong != want || !reflect.DeepEqual(*got, model.Route{}) {
			t.Errorf("%s: said %q, want %q; %+v", text, wrong, want, *got)
		}
	}
}
