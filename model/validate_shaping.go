package model

import (
	"fmt"
	"time"
)

// shape checks a route's rates. What is wrong is left out: the others hold.
func (v *checker) shape(r *Route) *Route {
	if r.Shape == nil {
		return r
	}
	s := *r.Shape
	if s.Off {
		if s != (Shape{Off: true}) {
			v.doubtful("contradiction", "route "+r.Name+" has a shape that is off and says more: there is none", "leave one of the two out")
		}
		return r
	}
	v.requestRate(r, &s)
	for _, rate := range [...]struct {
		what string
		n    *int64
	}{{"upload", &s.Upload}, {"download", &s.Download}, {"totalUpload", &s.TotalUpload}, {"totalDownload", &s.TotalDownload}} {
		if !isRate(*rate.n) {
			v.broken("bad-shape", fmt.Sprintf("route %s has a shape with the %s %d; there is no such bound", r.Name, rate.what, *rate.n), "write 1 byte to 1TiB a second")
			*rate.n = 0
		}
	}
	for _, pair := range [...]struct {
		what        string
		each, total int64
	}{{"upload", s.Upload, s.TotalUpload}, {"download", s.Download, s.TotalDownload}} {
		if pair.total > 0 && pair.each > pair.total {
			v.doubtful("contradiction", fmt.Sprintf("route %s lets each %s pass at %d bytes a second, but all together at %d: that bounds each of them, too", r.Name, pair.what, pair.each, pair.total),
				"make the total the larger one")
		}
	}
	if *r.Shape == (Shape{}) {
		v.doubtful("unused", "route "+r.Name+" has a shape that bounds nothing", "give it requests, upload, download or a total of these")
	}
	if s == *r.Shape {
		return r
	}
	r = copied(r)
	r.Shape = &s
	return r
}

// requestRate checks the part of s that is about requests.
func (v *checker) requestRate(r *Route, s *Shape) {
	wrong, hint := "", ""
	f := s.Filled()
	turn := time.Duration(0)
	if s.Requests > 0 && f.Per > 0 {
		turn = f.Per / time.Duration(s.Requests)
	}
	switch {
	case s.Requests < 0 || s.Per < 0 || s.Requests > 0 && (turn < time.Second/MostShapeRate || turn > LongestShapeTurn):
		wrong, hint = fmt.Sprintf("%d requests every %v", s.Requests, f.Per), "write 1 an hour to 1000000 a second"
	case s.Burst < 0 || time.Duration(s.Burst) > LongestShapeTurn/max(turn, 1):
		wrong, hint = fmt.Sprintf("a burst of %d requests", s.Burst), "write what an hour lets pass, at most"
	case s.Queue > MostShapeQueue:
		wrong, hint = fmt.Sprintf("a queue of %d requests", s.Queue), "write up to 100000"
	case s.Wait < 0 || s.Wait > MostShapeWait:
		wrong, hint = fmt.Sprintf("a wait of %v", s.Wait), "write up to 1h"
	case s.Requests == 0 && (s.Per != 0 || s.Burst != 0 || s.Queue != 0 || s.Wait != 0):
		v.doubtful("unused", "route "+r.Name+" has a shape with a burst, a queue or a wait, but without requests: all go on at once", "give it requests")
		return
	}
	if wrong != "" {
		v.broken("bad-shape", "route "+r.Name+" has a shape with "+wrong+"; its requests go on at once", hint)
		s.Requests, s.Per, s.Burst, s.Queue, s.Wait = 0, 0, 0, 0, 0
		return
	}
	v.short("the wait of a shape", s.Wait)
	t := r.Timeouts.Request
	switch {
	case s.Requests == 0:
	case t > 0 && f.Queue > 0 && f.Wait >= t && s.Wait > 0:
		v.doubtful("contradiction", fmt.Sprintf("requests of route %s may wait %v for their turn, but have only %v: those that would wait longer are refused", r.Name, f.Wait, t), "make the wait shorter, or the request timeout longer")
	case f.Queue > 0 && f.Wait < turn:
		v.doubtful("contradiction", fmt.Sprintf("requests of route %s wait at most %v, but the next turn comes after %v: most are refused", r.Name, f.Wait, turn), "make the wait longer, or allow a burst")
	}
}

// phases checks the time-outs after the response's head.
func (v *checker) phases(r *Route) {
	t := r.Timeouts
	v.short("an idle timeout", t.Idle)
	v.short("a stream timeout", t.Stream)
	v.long("an idle timeout", t.Idle)
	v.long("a stream timeout", t.Stream)
	switch {
	case t.Request > 0 && t.Idle > t.Request:
		v.doubtful("long-timeout", fmt.Sprintf("route %s lets a response stall for %v, but the whole request has only %v", r.Name, t.Idle, t.Request),
			"the request timeout ends it first, but for what is upgraded; make it the longer one")
	case t.Stream > 0 && t.Idle > t.Stream:
		v.doubtful("long-timeout", fmt.Sprintf("route %s lets a response stall for %v, but it may last only %v", r.Name, t.Idle, t.Stream),
			"the stream timeout ends it first; make it the longer one")
	}
}
