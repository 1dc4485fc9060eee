package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// What an instance answers.
const (
	instanceField = "X-Instance"
	bodySize      = 4096
	workTime      = 2 * time.Millisecond
	slowTime      = 10 * workTime
	coldTime      = 100 * time.Millisecond // with an empty cache
	coldFor       = 2 * time.Second
	slowBodyTime  = 2 * time.Second
	pieces        = 8 // of a slow body
	// A service of fixed capacity: others wait, so many of them, and who comes
	// then is told 503.
	workers  = 8
	waiting  = 1000
	busyTime = 20 * time.Millisecond
	capacity = float64(workers) / (float64(busyTime) / float64(time.Second)) // requests a second
)

// Environment of an instance's process.
const (
	roleVariable   = "NARU_FAULTS_ROLE"
	numberVariable = "NARU_FAULTS_NUMBER"
	listenVariable = "NARU_FAULTS_LISTEN"
	stateVariable  = "NARU_FAULTS_STATE" // a command that it begins with
)

// Commands to an instance, one a line of its standard input, whose end ends it.
const (
	doWell     = "well"
	doErr      = "err"   // half of the answers are 500 or 503
	doSlow     = "slow"  // ten times as long
	doDrip     = "drip"  // the body takes two seconds
	doReset    = "reset" // in the middle of every answer
	doRefuse   = "refuse"
	doListen   = "listen"
	doCold     = "cold" // slow for two seconds from the first request on, four at a time
	doCapacity = "capacity"
	doStop     = "stop" // as services stop: what is under way is finished
)

// instance is the service. It says "ready" when it listens, and the name of
// each POST that it was given.
type instance struct {
	number string
	addr   string
	state  atomic.Value // the last command
	count  atomic.Uint64
	cold   atomic.Int64  // when its cache is full, in Unix ns; 0 before the first request
	few    chan struct{} // places while cold
	places chan struct{} // of fixed capacity
	inside atomic.Int64  // who waits for a place or has one
	body   string
	server *http.Server
	out    chan string
}

func newInstance(number string) *instance {
	s := &instance{
		number: number, few: make(chan struct{}, 4), places: make(chan struct{}, workers),
		body: strings.Repeat("naru\n", bodySize)[:bodySize], out: make(chan string, 1024),
	}
	s.state.Store(doWell)
	return s
}

// serveInstance is an instance's main function.
func serveInstance() error {
	s := newInstance(os.Getenv(numberVariable))
	s.addr = os.Getenv(listenVariable)
	if state := os.Getenv(stateVariable); state != "" {
		s.state.Store(state)
	}
	if err := s.listen(); err != nil {
		return err
	}
	// One writer: lines stay whole.
	go func() {
		w := bufio.NewWriter(os.Stdout)
		for line := range s.out {
			fmt.Fprintln(w, line)
			if len(s.out) == 0 {
				w.Flush()
			}
		}
	}()
	s.out <- "ready"
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		switch in.Text() {
		case doRefuse:
			// Idle connections close, what is under way ends well.
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			_ = s.server.Shutdown(ctx)
			cancel()
		case doListen:
			if err := s.listen(); err != nil {
				return err
			}
		case doStop:
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			return s.server.Shutdown(ctx)
		default:
			s.state.Store(in.Text())
		}
	}
	return in.Err()
}

func (s *instance) listen() error {
	l, err := net.Listen("tcp", s.addr)
	if err != nil {
		return err
	}
	s.server = &http.Server{Handler: s, ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0)}
	go func(srv *http.Server) { _ = srv.Serve(l) }(s.server)
	return nil
}

func (s *instance) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set(instanceField, s.number)
	if r.URL.Path == healthPath {
		w.WriteHeader(http.StatusOK) // it feels well, whatever it does
		return
	}
	if id, ok := strings.CutPrefix(r.URL.Path, "/jobs/"); ok && r.Method == http.MethodPost {
		_, _ = io.Copy(io.Discard, r.Body)
		s.out <- id
	}
	switch state := s.state.Load().(string); state {
	case doCapacity:
		defer s.inside.Add(-1)
		if s.inside.Add(1) > workers+waiting {
			http.Error(w, "full", http.StatusServiceUnavailable)
			return
		}
		// Whether the client still waits nobody looks, as in most services.
		s.places <- struct{}{}
		time.Sleep(busyTime)
		<-s.places
		s.whole(w)
	case doSlow:
		time.Sleep(slowTime)
		s.whole(w)
	case doCold:
		// Requests fill the cache: time without any does not.
		now := time.Now()
		s.cold.CompareAndSwap(0, now.Add(coldFor).UnixNano())
		if now.UnixNano() < s.cold.Load() {
			s.few <- struct{}{}
			time.Sleep(coldTime)
			<-s.few
		} else {
			time.Sleep(workTime)
		}
		s.whole(w)
	case doErr:
		time.Sleep(workTime)
		switch n := s.count.Add(1); n % 4 {
		case 1:
			http.Error(w, "broken", http.StatusInternalServerError)
		case 3:
			http.Error(w, "broken", http.StatusServiceUnavailable)
		default:
			s.whole(w)
		}
	case doDrip:
		s.drip(w)
	case doReset:
		time.Sleep(workTime)
		s.reset(w)
	default:
		time.Sleep(workTime)
		s.whole(w)
	}
}

func (s *instance) head(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/plain")
	w.Header().Set("Content-Length", strconv.Itoa(bodySize))
}

func (s *instance) whole(w http.ResponseWriter) {
	s.head(w)
	_, _ = io.WriteString(w, s.body)
}

// drip sends the body in pieces.
func (s *instance) drip(w http.ResponseWriter) {
	s.head(w)
	for i := range pieces {
		_, _ = io.WriteString(w, s.body[i*bodySize/pieces:(i+1)*bodySize/pieces])
		_ = http.NewResponseController(w).Flush()
		time.Sleep(slowBodyTime / pieces)
	}
}

// reset sends half of the body and resets the connection.
func (s *instance) reset(w http.ResponseWriter) {
	s.head(w)
	_, _ = io.WriteString(w, s.body[:bodySize/2])
	rc := http.NewResponseController(w)
	_ = rc.Flush()
	conn, _, err := rc.Hijack()
	if err != nil {
		return
	}
	// A reset overtakes what has not been read: half an answer shall arrive.
	time.Sleep(workTime)
	_ = conn.(*net.TCPConn).SetLinger(0)
	conn.Close()
}

// numberOf reads an instance's number, -1 where there is none.
func numberOf(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		return -1
	}
	return n
}
