package model

import (
	"fmt"
	"time"
)

// Defaults of an Ejection's back-off.
const (
	DefaultEjection = time.Second
	MostEjection    = time.Minute
)

// ejection replaces what makes no sense by its default.
func (v *checker) ejection(s *Service) *Service {
	e := *s.Ejection
	if (e != Ejection{Off: true}) && e.Off {
		v.doubtful("unused", "service "+s.Name+" ejects no endpoint, so its other settings of ejection are not used", "leave off out, or the rest")
	}
	percent := func(name string, n *int) {
		if *n > 100 {
			v.broken("bad-value", fmt.Sprintf("the %s of service %s is %d%%; its default counts", name, s.Name, *n), "write 1 to 100")
			*n = 0
		}
	}
	percent("success rate", &e.SuccessRate)
	percent("share of endpoints that are ejected", &e.MaxEjected)
	if e.SuccessRate == 100 {
		v.doubtful("strict", "service "+s.Name+" ejects endpoints of which a single request fails now and then", "a success rate of 95% is strict already")
	}
	if e.Failures == 1 {
		v.doubtful("strict", "service "+s.Name+" ejects an endpoint for a single failed request", "the default is 5 in a row")
	}
	if e.Slowness > 0 && e.Slowness <= 100 {
		v.broken("bad-value", fmt.Sprintf("service %s ejects endpoints that take %.2f times as long as the others, half of all; the default of 3 counts", s.Name, float64(e.Slowness)/100), "write more than 1, for example 3")
		e.Slowness = 0
	}
	for _, d := range []*time.Duration{&e.Backoff, &e.MaxBackoff} {
		if *d < 0 {
			v.broken("bad-value", "the back-off of service "+s.Name+" is below nothing; its default counts", "write for example 1s")
			*d = 0
		}
		if *d > LongestTime {
			v.broken("bad-value", fmt.Sprintf("the back-off of service %s is %v; %v counts", s.Name, *d, LongestTime), "an endpoint that is well again waits for it: write for example 1m")
			*d = LongestTime
		}
	}
	v.short("a back-off of ejected endpoints", e.Backoff)
	// Where one of the two is not written here, a policy may say it.
	if e.MaxBackoff > 0 && e.MaxBackoff < e.Backoff {
		v.doubtful("contradiction", fmt.Sprintf("the back-off of service %s begins with %v, which is more than its longest of %v: it is always %v", s.Name, e.Backoff, e.MaxBackoff, e.Backoff), "make the longest one the longer one")
		e.MaxBackoff = e.Backoff
	}
	if e == *s.Ejection {
		return s
	}
	s = copied(s)
	s.Ejection = &e
	return s
}
