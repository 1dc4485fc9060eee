package short

import (
	"go.yaml.in/yaml/v3"

	"github.com/naru-mesh/naru/dialect"
	"github.com/naru-mesh/naru/model"
)

// fault makes some requests slow, or fail, on purpose.
type fault struct {
	Delay        *span       `json:"delay" doc:"wait before the service is asked, up to 1h" default:"none" unit:"duration"`
	DelayPercent *percentage `json:"delayPercent" doc:"share of the requests that wait" default:"100" unit:"%"`
	Status       int         `json:"status" doc:"answer in place of the service, 200 to 599" default:"none"`
	GRPC         int         `json:"grpc" doc:"gRPC status of gRPC calls, 1 to 16" default:"that of status"`
	AbortPercent *percentage `json:"abortPercent" doc:"share of the requests that are answered so" default:"100" unit:"%"`
	RequestRate  *byteRate   `json:"requestRate" doc:"pass the request's body so slowly" default:"as fast as it comes" unit:"bytes a second"`
	ResponseRate *byteRate   `json:"responseRate" doc:"pass the response's body so slowly" default:"as fast as it comes" unit:"bytes a second"`
	RatePercent  *percentage `json:"ratePercent" doc:"share of the requests whose bodies are slow" default:"100" unit:"%"`
	Header       text        `json:"header" doc:"only requests that carry this header have faults" default:"every request may"`
	off          bool
	_            struct{} `also:"abort,httpStatus,code" hint:"write status: 503, with abortPercent: 5 for some"`
	_            struct{} `also:"percent,percentage,share" hint:"write delayPercent, abortPercent or ratePercent"`
	_            struct{} `also:"rate,slow,slowBody,bandwidth,responseRateLimit,downloadRate" hint:"did you mean responseRate? For example responseRate: 1KiB/s"`
	_            struct{} `also:"fixedDelay,latency" hint:"did you mean delay?"`
	_            struct{} `also:"headers,match,when" hint:"did you mean header? Other conditions stand in the route's match"`
}

// ReadNode takes an object, or off.
func (f *fault) ReadNode(in *dialect.Decoder, n *yaml.Node) {
	if n.Value == off {
		f.off = true
		return
	}
	if n.Kind != yaml.MappingNode {
		in.Wrong(n, "an object", "fault: {delay: 2s, delayPercent: 10}, or fault: {status: 503, abortPercent: 5}")
		return
	}
	type plain fault
	before := in.Broken()
	in.Into(n, (*plain)(f))
	if in.Broken() > before {
		return
	}
	switch d := f.Delay.duration(); {
	case d < 0 || d > model.MostFaultDelay:
		in.Problem(n, "bad-value", "a fault delays by up to 1h", "for example delay: 2s")
	case f.Status != 0 && (f.Status < 200 || f.Status > 599):
		in.Problem(n, "bad-value", "a fault answers with a status from 200 to 599", "for example status: 503")
	case f.GRPC < 0 || f.GRPC > 16:
		in.Problem(n, "bad-value", "a gRPC status is 1 to 16", "for example grpc: 14, UNAVAILABLE")
	case d == 0 && f.Status == 0 && f.GRPC == 0 && !f.slows():
		in.Problem(n, "bad-value", "a fault that does nothing", "give it a delay, a status, grpc or a rate")
	case !f.slows() && f.RatePercent != nil:
		in.Problem(n, "bad-value", "ratePercent is for a rate", "for example responseRate: 1KiB/s")
	case d == 0 && f.DelayPercent != nil:
		in.Problem(n, "bad-value", "delayPercent is for a delay", "for example delay: 2s")
	case f.Status == 0 && f.GRPC == 0 && f.AbortPercent != nil:
		in.Problem(n, "bad-value", "abortPercent is for a status", "for example status: 503")
	}
	for _, p := range [...]*percentage{f.DelayPercent, f.AbortPercent, f.RatePercent} {
		if p != nil && !(*p > 0 && *p <= 100) {
			in.Problem(n, "bad-value", "a share of the requests is more than 0 and at most 100 percent", "fault: off is none")
		}
	}
}

// slows says whether bodies may be slow.
func (f *fault) slows() bool { return f.RequestRate != nil || f.ResponseRate != nil }

func (f *fault) noun() *model.Fault {
	share := func(p *percentage) int {
		if p == nil {
			return 0
		}
		return max(int(float64(*p)*model.Million/100+0.5), 1)
	}
	return &model.Fault{
		Off: f.off, Header: string(f.Header), Delay: f.Delay.duration(), DelayShare: share(f.DelayPercent),
		Status: f.Status, GRPC: f.GRPC, AbortShare: share(f.AbortPercent),
		RequestRate: f.RequestRate.perSecond(), ResponseRate: f.ResponseRate.perSecond(), RateShare: share(f.RatePercent),
	}
}
