package proxy

import (
	"time"

	"github.com/naru-mesh/naru/wire"
)

// asksToWait gives how long the service wants to be left alone: by Retry-After
// (RFC 9110 section 10.2.3), or by grpc-retry-pushback-ms (gRFC A6), which may
// also say not to come back: then ok is false. Without either it is 0. What
// cannot be read counts as "not".
func (x *exchange) asksToWait() (after time.Duration, ok bool) {
	h := &x.Response
	if x.coded {
		if v, there := h.Get(wire.KeyGRPCPushback); there {
			ms, ok := digits(v)
			return time.Duration(ms) * time.Millisecond, ok
		}
	}
	v, there := h.Get(wire.KeyRetryAfter)
	if !there {
		return 0, true
	}
	if n, ok := digits(v); ok {
		return time.Duration(n) * time.Second, true
	}
	const longestDate = 29 // "Sun, 06 Nov 1994 08:49:37 GMT"
	if len(v) != longestDate {
		return 0, false
	}
	at, err := time.Parse("Mon, 02 Jan 2006 15:04:05 GMT", string(v))
	return max(at.Sub(x.w.loop.Wall()), 0), err == nil
}

// digits reads a number; more than 86,400,000, the milliseconds of a day, is
// that.
func digits(v []byte) (n int64, ok bool) {
	const most = 24 * 3600 * 1000
	for _, c := range v {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = min(n*10+int64(c-'0'), most)
	}
	return n, len(v) > 0
}
