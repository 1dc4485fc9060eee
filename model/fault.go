package model

import "time"

// Fault makes some requests of a Route slow, or fail, on purpose: to see what
// happens then.
type Fault struct {
	// Off: none, whatever a policy for more says.
	Off bool `json:"off,omitempty"`
	// Header names a field without which a request has no faults; "": every
	// request may have them.
	Header string `json:"header,omitempty"`
	// Delay is waited before the service is asked, at most MostFaultDelay; 0 is
	// none. DelayShare is how many of a million requests wait; 0 is all.
	Delay      time.Duration `json:"delay,omitempty"`
	DelayShare int           `json:"delayShare,omitempty"`
	// Status, 200 to 599, or GRPC, a gRPC status from 1 to 16, is answered in place
	// of the service; 0 is neither. Status holds for gRPC calls too where there is
	// no GRPC, and GRPC for nothing else. AbortShare is as DelayShare.
	Status     int `json:"status,omitempty"`
	GRPC       int `json:"grpc,omitempty"`
	AbortShare int `json:"abortShare,omitempty"`
	// RequestRate and ResponseRate pass the body on at so many bytes a second, up
	// to MostRate; 0 is as fast as it comes. RateShare is as DelayShare: it is one
	// chance for both.
	RequestRate  int64 `json:"requestRate,omitempty"`
	ResponseRate int64 `json:"responseRate,omitempty"`
	RateShare    int   `json:"rateShare,omitempty"`
}

// slows says whether bodies may be slow.
func (f *Fault) slows() bool { return f.RequestRate != 0 || f.ResponseRate != 0 }

// MostFaultDelay bounds a Fault's Delay.
const MostFaultDelay = time.Hour

// Million is all of a Fault's shares.
const Million = 1_000_000

func (f *Fault) write(b *content) {
	if f != nil {
		b.text("fault", f.Header)
		b.int(int64(f.Delay))
		for _, n := range [...]int{f.DelayShare, f.Status, f.GRPC, f.AbortShare} {
			b.int(int64(n))
		}
		if f.Off {
			b.text("off")
		}
		if f.slows() || f.RateShare != 0 {
			b.text("rate")
			b.int(f.RequestRate)
			b.int(f.ResponseRate)
			b.int(int64(f.RateShare))
		}
	}
}

// fault gives what is wrong with f, and what would be right.
func fault(f *Fault) (wrong, hint string) {
	switch {
	case f.Off && *f != (Fault{Off: true}):
		return "a fault that is off and does something", "remove one of them"
	case f.Header != "" && !isToken(f.Header):
		return "a fault for requests with the header " + f.Header, "a header name has no spaces and no colon"
	case f.Delay < 0 || f.Delay > MostFaultDelay:
		return "a fault that delays by " + f.Delay.String(), "write up to 1h"
	case f.Status != 0 && (f.Status < 200 || f.Status > 599):
		return "a fault with a status that cannot be answered", "write 200 to 599"
	case f.GRPC < 0 || f.GRPC > 16:
		return "a fault with a gRPC status that does not exist", "write 1 to 16"
	case !isRate(f.RequestRate) || !isRate(f.ResponseRate):
		return "a fault that passes bodies at a rate that is none", "write 1 byte to 1TiB a second"
	case f.DelayShare < 0 || f.DelayShare > Million || f.AbortShare < 0 || f.AbortShare > Million || f.RateShare < 0 || f.RateShare > Million:
		return "a fault with a share that is none", "write 0 to 100 percent"
	case !f.Off && f.Delay == 0 && f.Status == 0 && f.GRPC == 0 && !f.slows():
		return "a fault that does nothing", "give it a delay, a status, a gRPC status or a rate"
	}
	return "", ""
}
