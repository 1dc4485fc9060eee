package short

import (
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/naru-mesh/naru/dialect"
	"github.com/naru-mesh/naru/model"
)

// shape delays requests to a steady rate, and passes bodies at a rate.
type shape struct {
	Requests      *often    `json:"requests" doc:"so many go on, evenly spread, and others wait: 20/s, 30/m or 100/h" default:"no bound"`
	Burst         int       `json:"burst" doc:"so many go on at once after a quiet time" default:"1"`
	Queue         *int      `json:"queue" doc:"how many may wait, at most 100000; 429 beyond" default:"100"`
	Wait          *span     `json:"wait" doc:"how long one may wait, at most 1h; 429 where it would be longer" default:"5s" unit:"duration"`
	Upload        *byteRate `json:"upload" doc:"the body of each request" default:"no bound" unit:"bytes a second"`
	Download      *byteRate `json:"download" doc:"the body of each response" default:"no bound" unit:"bytes a second"`
	TotalUpload   *byteRate `json:"totalUpload" doc:"the bodies of all requests together" default:"no bound" unit:"bytes a second"`
	TotalDownload *byteRate `json:"totalDownload" doc:"the bodies of all responses together" default:"no bound" unit:"bytes a second"`
	_             struct{}  `also:"rate,rps,requestsPerSecond,qps,limit,average" hint:"did you mean requests? For example requests: 20/s"`
	_             struct{}  `also:"maxWait,delay,timeout,period" hint:"did you mean wait? The period stands in the rate: requests: 30/m"`
	_             struct{}  `also:"queueSize,maxQueue,backlog" hint:"did you mean queue?"`
	_             struct{}  `also:"bandwidth,limitRate,limit_rate,limitKbps,bytesPerSecond,response,bwlim" hint:"did you mean download? For example download: 1MiB/s of each, totalDownload: 10MiB/s of all"`
	_             struct{}  `also:"in,request,uploadRate" hint:"did you mean upload? For example upload: 1MiB/s"`
	_             struct{}  `also:"total,shared" hint:"did you mean totalUpload or totalDownload?"`
	_             struct{}  `also:"key,per,by" hint:"a shape is of the whole route, whoever asks"`

	off bool
}

// ReadNode takes 20/s, off or an object.
func (s *shape) ReadNode(in *dialect.Decoder, n *yaml.Node) {
	before := in.Broken()
	if s.off = n.Value == off; s.off {
		return
	}
	if n.Kind == yaml.MappingNode {
		type plain shape
		in.Into(n, (*plain)(s))
	} else {
		s.Requests = &often{}
		in.Into(n, s.Requests)
	}
	if in.Broken() > before {
		return
	}
	switch {
	case s.Burst < 0:
		in.Problem(n, "bad-value", "a burst of "+strconv.Itoa(s.Burst)+" requests", "leave it out for 1")
	case s.Queue != nil && (*s.Queue < 0 || *s.Queue > model.MostShapeQueue):
		in.Problem(n, "bad-value", "a queue holds 0 to 100000 requests, not "+strconv.Itoa(*s.Queue), "for example queue: 100")
	case s.Wait.duration() < 0 || s.Wait.duration() > model.MostShapeWait:
		in.Problem(n, "bad-value", "requests wait for a bounded time, up to 1h", "for example wait: 5s")
	case s.Requests == nil && (s.Burst != 0 || s.Queue != nil || s.Wait != nil):
		in.Problem(n, "bad-value", "burst, queue and wait are for requests that have a rate", "for example shape: {requests: 20/s, queue: 50}")
	case s.noun() == nil:
		in.Problem(n, "bad-value", "a shape that bounds nothing", "for example shape: 20/s, or shape: {download: 1MiB/s}")
	}
}

// noun gives nil where nothing is bounded.
func (s *shape) noun() *model.Shape {
	m := model.Shape{
		Off:   s.off,
		Burst: s.Burst, Wait: s.Wait.duration(), Upload: s.Upload.perSecond(), Download: s.Download.perSecond(),
		TotalUpload: s.TotalUpload.perSecond(), TotalDownload: s.TotalDownload.perSecond(),
	}
	if s.Requests != nil {
		m.Requests, m.Per = s.Requests.n, s.Requests.per
	}
	if s.Queue != nil {
		if m.Queue = *s.Queue; m.Queue == 0 {
			m.Queue = -1
		}
	}
	if m == (model.Shape{}) {
		return nil
	}
	return &m
}

// often is a number in a time. per is 0 for a second, as in the model.
type often struct {
	n   int
	per time.Duration
}

// ReadNode takes "20/s".
func (o *often) ReadNode(in *dialect.Decoder, n *yaml.Node) {
	number, unit, ok := strings.Cut(n.Value, "/")
	count, err := strconv.Atoi(strings.TrimSpace(number))
	per := map[string]time.Duration{"s": time.Second, "sec": time.Second, "second": time.Second, "m": time.Minute, "min": time.Minute, "minute": time.Minute, "h": time.Hour, "hour": time.Hour}[strings.TrimSpace(unit)]
	switch {
	case n.Kind != yaml.ScalarNode || !ok || err != nil || per == 0:
		in.Wrong(n, "a number in a time", "NAME: 20/s, or NAME: 30/m, or NAME: 100/h")
		return
	case count < 1 || time.Duration(count) > per/(time.Second/model.MostShapeRate):
		in.Problem(n, "bad-value", "a rate is 1/h to 1000000/s", "for example 20/s")
		return
	}
	o.n = count
	if per != time.Second {
		o.per = per
	}
}

// byteRate is a number of bytes a second.
type byteRate int64

// ReadNode takes "1MiB/s" and 65536.
func (b *byteRate) ReadNode(in *dialect.Decoder, n *yaml.Node) {
	plain := *n
	plain.Value = strings.TrimSpace(strings.TrimSuffix(n.Value, "/s"))
	size, ok := parseBytes(&plain)
	if !ok || size > model.MostRate {
		in.Wrong(n, "a rate", "NAME: 64KiB/s (units: KiB, MiB, GiB; up to 1024GiB/s)")
		return
	}
	*b = byteRate(size)
}

// perSecond gives 0 for nil.
func (b *byteRate) perSecond() int64 {
	if b == nil {
		return 0
	}
	return int64(*b)
}
