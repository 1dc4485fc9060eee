package model

import "time"

// Shape delays a Route's requests to a steady rate, and passes bodies at no more
// than a rate. What it bounds is what passes through one proxy: each proxy has
// rates of its own.
type Shape struct {
	// Off: there is none, whatever a policy from further away says.
	Off bool `json:"off,omitempty"`
	// Requests of every Per may go on, evenly spread; 0 is no bound. Per is a
	// second where it is 0. Of the Route's requests, not of each client's.
	Requests int           `json:"requests,omitempty"`
	Per      time.Duration `json:"per,omitempty"`
	// Burst is how many may go on at once after a quiet time; 0 is 1.
	Burst int `json:"burst,omitempty"`
	// Queue is how many may wait for their turn, at most MostShapeQueue; 0 is
	// DefaultShapeQueue, negative is none. Wait is how long, at most MostShapeWait; 0
	// is DefaultShapeWait. Others are refused at once: 429 with Retry-After.
	Queue int           `json:"queue,omitempty"`
	Wait  time.Duration `json:"wait,omitempty"`
	// Upload and Download are how many bytes a second of the body of a request and
	// of a response pass, of each; 0 is no bound.
	Upload   int64 `json:"upload,omitempty"`
	Download int64 `json:"download,omitempty"`
	// TotalUpload and TotalDownload are the same of all bodies of the Route
	// together, which take turns.
	TotalUpload   int64 `json:"totalUpload,omitempty"`
	TotalDownload int64 `json:"totalDownload,omitempty"`
}

// Bounds and defaults of a Shape.
const (
	DefaultShapeQueue = 100
	DefaultShapeWait  = 5 * time.Second
	MostShapeQueue    = 100_000
	MostShapeWait     = time.Hour
	// MostShapeRate is how many requests a second are the most, LongestShapeTurn
	// the longest time from one to the next.
	MostShapeRate    = 1_000_000
	LongestShapeTurn = time.Hour
	// MostRate is the most of any rate of bodies, in bytes a second: 1 TiB.
	MostRate = 1 << 40
)

// Filled gives s with its defaults.
func (s *Shape) Filled() Shape {
	f := *s
	if f.Per == 0 {
		f.Per = time.Second
	}
	if f.Burst == 0 {
		f.Burst = 1
	}
	switch {
	case f.Queue == 0:
		f.Queue = DefaultShapeQueue
	case f.Queue < 0:
		f.Queue = 0
	}
	if f.Wait == 0 {
		f.Wait = DefaultShapeWait
	}
	return f
}

// isRate says whether n can be the rate of a body, or none.
func isRate(n int64) bool { return n >= 0 && n <= MostRate }

// shaping writes what a Route has of this file.
func (b *content) shaping(r *Route) {
	if r.Timeouts.Idle != 0 || r.Timeouts.Stream != 0 {
		b.text("stream")
		b.time(r.Timeouts.Idle)
		b.time(r.Timeouts.Stream)
	}
	if s := r.Shape; s != nil {
		b.text("shape")
		b.bool(s.Off)
		for _, n := range [...]int64{int64(s.Requests), int64(s.Per), int64(s.Burst), int64(s.Queue), int64(s.Wait),
			s.Upload, s.Download, s.TotalUpload, s.TotalDownload} {
			b.int(n)
		}
	}
}
