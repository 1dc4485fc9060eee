package gatewayapi

import (
	"strconv"
	"strings"
	"time"

	gateway "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/naru-mesh/naru/model"
)

// Fault makes some requests slow, or fail, on purpose: to see what happens then.
type Fault struct {
	// Header names a field without which a request has no faults; by default every
	// request may have them.
	Header string `json:"header,omitempty"`
	// Delay waits before the service is asked.
	Delay *FaultDelay `json:"delay,omitempty"`
	// Abort answers in place of the service.
	Abort *FaultAbort `json:"abort,omitempty"`
	// Body passes bodies on slowly.
	Body *FaultBody `json:"body,omitempty"`
	// Disabled: none, whatever a policy for more says.
	Disabled bool `json:"disabled,omitempty"`
}

// FaultDelay waits before the service is asked.
type FaultDelay struct {
	Time    gateway.Duration `json:"time"`              // up to 1h
	Percent *float64         `json:"percent,omitempty"` // of the requests; default 100
}

// FaultAbort answers in place of the service.
type FaultAbort struct {
	// Status is 200 to 599; GRPC is the gRPC status of gRPC calls, 1 to 16, by
	// default that which belongs to Status.
	Status  int      `json:"status,omitempty"`
	GRPC    int      `json:"grpc,omitempty"`
	Percent *float64 `json:"percent,omitempty"` // of the requests; default 100
}

// FaultBody passes bodies on slowly.
type FaultBody struct {
	// Request and Response are bytes a second, such as 1Ki; by default as fast as
	// they come.
	Request  string   `json:"request,omitempty"`
	Response string   `json:"response,omitempty"`
	Percent  *float64 `json:"percent,omitempty"` // of the requests; default 100
}

// Shape delays requests to a steady rate, and passes bodies at no more than a
// rate, through each proxy.
type Shape struct {
	// Disabled: there is none, whatever is said further away.
	Disabled bool `json:"disabled,omitempty"`
	// Requests go on at a rate, and others wait; by default they go on at once.
	Requests *RequestShape `json:"requests,omitempty"`
	// Upload and Download are bytes a second, such as 1Mi, of the body of each
	// request and response; TotalUpload and TotalDownload of all together.
	Upload        string `json:"upload,omitempty"`
	Download      string `json:"download,omitempty"`
	TotalUpload   string `json:"totalUpload,omitempty"`
	TotalDownload string `json:"totalDownload,omitempty"`
}

// RequestShape is a rate of requests.
type RequestShape struct {
	Rate  int              `json:"rate"`            // so many go on, evenly spread
	Per   gateway.Duration `json:"per,omitempty"`   // in so long; default 1s
	Burst int              `json:"burst,omitempty"` // so many at once after a quiet time; default 1
	// Queue is how many may wait, up to 100000, default 100; Wait is how long, up to
	// 1h, default 5s. Others get 429.
	Queue *int             `json:"queue,omitempty"`
	Wait  gateway.Duration `json:"wait,omitempty"`
}

// StreamTimeouts bound a response after its head, and what is upgraded; 0s is no
// bound.
type StreamTimeouts struct {
	// Idle is how long nothing may pass; default 5m, for gRPC and what is upgraded
	// 1h.
	Idle *gateway.Duration `json:"idle,omitempty"`
	// Duration is how long all of it may last; no bound by default.
	Duration *gateway.Duration `json:"duration,omitempty"`
}

// fault reads a Fault at field; nil is none.
func (r *reader) fault(field string, in *Fault) *model.Fault {
	if in == nil {
		return nil
	}
	said := len(r.problems)
	if in.Disabled {
		if *in != (Fault{Disabled: true}) {
			r.broken(field, "conflict", "a fault is disabled or does something, not both", "remove one of them")
			return nil
		}
		return &model.Fault{Off: true}
	}
	out := &model.Fault{Header: in.Header}
	if in.Header != "" && !isToken(in.Header) {
		r.broken(field+".header", "bad-value", strconv.Quote(in.Header)+" is not a header name", "")
	}
	if d := in.Delay; d != nil {
		out.Delay, out.DelayShare = r.bound(field+".delay.time", d.Time), r.percent(field+".delay.percent", d.Percent)
		if d.Time == "" {
			r.broken(field+".delay", "missing-field", "a delay has a time", "delay: {time: 2s, percent: 10}")
		} else if out.Delay > model.MostFaultDelay {
			r.broken(field+".delay.time", "bad-value", "a fault delays by up to 1h", "")
		}
	}
	if a := in.Abort; a != nil {
		out.Status, out.GRPC, out.AbortShare = a.Status, a.GRPC, r.percent(field+".abort.percent", a.Percent)
		switch {
		case a.Status == 0 && a.GRPC == 0:
			r.broken(field+".abort", "missing-field", "an abort has a status", "abort: {status: 503, percent: 5}")
		case a.Status != 0 && (a.Status < 200 || a.Status > 599):
			r.broken(field+".abort.status", "bad-value", "a fault answers with a status from 200 to 599", "")
		case a.GRPC < 0 || a.GRPC > 16:
			r.broken(field+".abort.grpc", "bad-value", "a gRPC status is 1 to 16", "")
		}
	}
	if b := in.Body; b != nil {
		out.RequestRate, out.ResponseRate = r.byteRate(field+".body.request", b.Request), r.byteRate(field+".body.response", b.Response)
		out.RateShare = r.percent(field+".body.percent", b.Percent)
		if b.Request == "" && b.Response == "" {
			r.broken(field+".body", "missing-field", "a slow body is that of requests or responses", "body: {response: 1Ki, percent: 5}")
		}
	}
	if in.Delay == nil && in.Abort == nil && in.Body == nil {
		r.broken(field, "missing-field", "a fault that does nothing", "give it delay, abort or body")
	}
	if len(r.problems) > said {
		return nil
	}
	return out
}

// percent reads a share of the requests, of a million; 0 is all.
func (r *reader) percent(field string, in *float64) int {
	switch {
	case in == nil:
		return 0
	case !(*in > 0 && *in <= 100):
		r.broken(field, "bad-value", "a share of the requests is more than 0 and at most 100 percent", "")
		return 0
	}
	return max(int(*in*model.Million/100+0.5), 1)
}

// byteRate reads bytes a second as Kubernetes writes quantities; "" is 0.
func (r *reader) byteRate(field, text string) int64 {
	if text == "" {
		return 0
	}
	number, factor := text, int64(1)
	for _, unit := range [...]struct {
		suffix string
		factor int64
	}{{"Ki", 1 << 10}, {"Mi", 1 << 20}, {"Gi", 1 << 30}, {"k", 1e3}, {"M", 1e6}, {"G", 1e9}} {
		if rest, ok := strings.CutSuffix(text, unit.suffix); ok {
			number, factor = rest, unit.factor
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 1 || n > model.MostRate/factor {
		r.broken(field, "bad-value", text+" is no number of bytes a second", "write for example 64Ki or 1Mi, up to 1024Gi")
		return 0
	}
	return n * factor
}

// shape reads a Shape at field; nil is none.
func (r *reader) shape(field string, in *Shape) *model.Shape {
	if in == nil {
		return nil
	}
	said := len(r.problems)
	out := &model.Shape{
		Off:    in.Disabled,
		Upload: r.byteRate(field+".upload", in.Upload), Download: r.byteRate(field+".download", in.Download),
		TotalUpload: r.byteRate(field+".totalUpload", in.TotalUpload), TotalDownload: r.byteRate(field+".totalDownload", in.TotalDownload),
	}
	if q := in.Requests; q != nil {
		r.requestShape(field+".requests", q, out)
	}
	if len(r.problems) == said && *out == (model.Shape{}) {
		r.broken(field, "missing-field", "a shape that bounds nothing", "shape: {requests: {rate: 20}}, or shape: {download: 1Mi}")
	}
	if len(r.problems) > said {
		return nil
	}
	return out
}

func (r *reader) requestShape(field string, in *RequestShape, out *model.Shape) {
	out.Requests, out.Per, out.Burst, out.Wait = in.Rate, r.bound(field+".per", in.Per), in.Burst, r.bound(field+".wait", in.Wait)
	per := max(out.Per, 0)
	if per == 0 {
		per = time.Second
	}
	switch turn := per / time.Duration(max(in.Rate, 1)); {
	case in.Rate < 1 || turn < time.Second/model.MostShapeRate || turn > model.LongestShapeTurn:
		r.broken(field+".rate", "bad-value", "a rate is one an hour to 1000000 a second", "requests: {rate: 20}")
	case in.Burst < 0 || time.Duration(in.Burst) > model.LongestShapeTurn/turn:
		r.broken(field+".burst", "bad-value", "a burst is at most what an hour lets pass", "leave it out for 1")
	case out.Wait > model.MostShapeWait:
		r.broken(field+".wait", "bad-value", "requests wait up to 1h", "leave it out for 5s")
	}
	switch q := in.Queue; {
	case q == nil:
	case *q < 0 || *q > model.MostShapeQueue:
		r.broken(field+".queue", "bad-value", "a queue holds 0 to 100000 requests", "leave it out for 100")
	case *q == 0:
		out.Queue = -1
	default:
		out.Queue = *q
	}
}

// streamTimeouts adds what in says to t. In the model negative is none.
func (r *reader) streamTimeouts(field string, in *StreamTimeouts, t *model.Timeouts) {
	if in == nil {
		return
	}
	read := func(name string, d *gateway.Duration, to *time.Duration) {
		if d == nil {
			return
		}
		if *d == "0s" || *d == "0" {
			*to = -1
			return
		}
		*to = r.bound(field+"."+name, *d)
	}
	read("idle", in.Idle, &t.Idle)
	read("duration", in.Duration, &t.Stream)
}
