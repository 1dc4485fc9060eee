package test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestTranslateBodies: methods and bodies arrive as they were sent, their
// length announced where it was announced, for every client and service.
func TestTranslateBodies(t *testing.T) {
	t.Parallel()
	c := cross(t, "", func(w http.ResponseWriter, r *http.Request) {
		if err := http.NewResponseController(w).EnableFullDuplex(); err != nil && r.ProtoMajor == 1 {
			t.Error(err)
		}
		w.Header().Set("X-Saw", fmt.Sprint(r.Method, " ", r.ContentLength, " ", r.Proto))
		if strings.HasSuffix(r.URL.Path, "/known") {
			w.Header().Set("Content-Length", fmt.Sprint(r.ContentLength))
		} else {
			http.NewResponseController(w).Flush()
		}
		io.Copy(w, r.Body)
	})
	large := pattern(5 << 20)
	c.each(t, func(t *testing.T, p *pair) {
		version := map[string]string{h1: "HTTP/1.1", h2c: "HTTP/2.0", h2: "HTTP/2.0"}[p.service]
		for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"} {
			res := p.ask(t, method, "/none", nil, 0)
			if body, saw := whole(t, res), res.Header.Get("X-Saw"); body != "" || saw != method+" 0 "+version {
				t.Errorf("%s without a body: %q, the service saw %q", method, body, saw)
			}
		}
		for _, size := range []int{1, 1000, 16 << 10, len(large)} {
			for _, known := range []bool{true, false} {
				body, length, path := large[:size], int64(size), "/known"
				if !known {
					length, path = -1, "/unknown"
				}
				res := p.ask(t, "POST", path, trickle(body), length)
				got := whole(t, res)
				if got != string(body) {
					t.Errorf("%d bytes, %s: %d came back, other ones", size, path, len(got))
				}
				// What comes as a whole may get the length that nobody announced.
				saw, may := res.Header.Get("X-Saw"), length
				if !known && size <= 64<<10 {
					may = int64(size)
				}
				if saw != fmt.Sprint("POST ", length, " ", version) && saw != fmt.Sprint("POST ", may, " ", version) {
					t.Errorf("%d bytes, %s: the service saw %q", size, path, saw)
				}
				if res.ContentLength != length && res.ContentLength != may {
					t.Errorf("%d bytes, %s: length %d in the response", size, path, res.ContentLength)
				}
			}
		}
	})
}

// TestTranslateTrailers: both ways, with bodies and without.
func TestTranslateTrailers(t *testing.T) {
	t.Parallel()
	c := cross(t, "", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Trailer", "X-Out")
		if len(body) > 0 {
			w.Write(body)
		}
		http.NewResponseController(w).Flush()
		w.Header().Set("X-Out", "out")
		w.Header().Set(http.TrailerPrefix+"X-Saw", r.Trailer.Get("X-In")+" "+r.Header.Get("TE"))
	})
	c.each(t, func(t *testing.T, p *pair) {
		for _, size := range []int{0, 10, 100_000} {
			body := pattern(size)
			res := p.ask(t, "POST", "/", trickle(body), -1, func(r *http.Request) {
				r.Header.Set("TE", "trailers")
				r.Trailer = http.Header{"X-In": {"in"}}
			})
			if got := whole(t, res); got != string(body) {
				t.Errorf("%d bytes became %d others", size, len(got))
			}
			if res.Trailer.Get("X-Out") != "out" || res.Trailer.Get("X-Saw") != "in trailers" {
				t.Errorf("%d bytes: trailers %v", size, res.Trailer)
			}
		}
	})
}

// TestTranslateInterim: 103 is passed on, with its fields and before the rest.
func TestTranslateInterim(t *testing.T) {
	t.Parallel()
	release := make(chan struct{}, 1)
	c := cross(t, "", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Del("Link")
		w.Header().Set("Link", "</script.js>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Del("Link")
		<-release
		io.WriteString(w, "done")
	})
	// One after the other: each waits for its own 103.
	for _, from := range dialects {
		for _, to := range dialects {
			var seen []string
			trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
				if seen = append(seen, fmt.Sprint(code, h.Get("Link"))); len(seen) == 2 {
					release <- struct{}{}
				}
				return nil
			}}
			res := c.pair(t, from, to).ask(t, "GET", "/", nil, 0, func(r *http.Request) {
				*r = *r.WithContext(httptrace.WithClientTrace(r.Context(), trace))
			})
			if body := whole(t, res); body != "done" || res.Header.Get("Link") != "" {
				t.Errorf("%s to %s: %q %v", from, to, body, res.Header)
			}
			if got := fmt.Sprint(seen); got != "[103</style.css>; rel=preload 103</script.js>; rel=preload]" {
				t.Errorf("%s to %s: interim %s", from, to, got)
			}
		}
	}
}

// TestTranslateExpect: a body that waits for 100 (Continue) is sent after it,
// and not sent where the service refuses it.
func TestTranslateExpect(t *testing.T) {
	t.Parallel()
	c := cross(t, "", func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/refuse") {
			w.WriteHeader(http.StatusExpectationFailed)
			io.WriteString(w, "no")
			return
		}
		n, err := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n, err)
	})
	c.each(t, func(t *testing.T, p *pair) {
		expect := func(r *http.Request) { r.Header.Set("Expect", "100-continue") }
		continued := false
		body := pattern(300_000)
		for _, length := range []int64{int64(len(body)), -1} {
			res := p.ask(t, "POST", "/take", trickle(body), length, expect, func(r *http.Request) {
				*r = *r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{Got100Continue: func() { continued = true }}))
			})
			if got := whole(t, res); got != "300000 <nil>" || !continued {
				t.Errorf("length %d: %s, 100 (Continue) came: %v", length, got, continued)
			}
		}
		// The end of the connection or of the stream is allowed, a lost answer
		// is not.
		res := p.ask(t, "POST", "/refuse", trickle(body), int64(len(body)), expect)
		if got := whole(t, res); res.StatusCode != 417 || got != "no" {
			t.Errorf("refused: %d %q", res.StatusCode, got)
		}
	})
}

// TestTranslateEmpty: responses that have no body by their nature.
func TestTranslateEmpty(t *testing.T) {
	t.Parallel()
	c := cross(t, "", func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/204"):
			w.WriteHeader(204)
		case strings.HasSuffix(r.URL.Path, "/304"):
			w.Header().Set("Etag", `"e"`)
			w.WriteHeader(304)
		case strings.HasSuffix(r.URL.Path, "/0"):
			w.Header().Set("Content-Length", "0")
		default:
			w.Header().Set("Content-Length", "1234")
			if r.Method == "GET" {
				w.Write(pattern(1234))
			}
		}
	})
	c.each(t, func(t *testing.T, p *pair) {
		for range 2 { // the connection goes on after each
			for _, ask := range []struct {
				method, path string
				status       int
				length       int64
				body         int
			}{
				{"HEAD", "/full", 200, 1234, 0}, {"GET", "/204", 204, 0, 0}, {"GET", "/304", 304, -2, 0},
				{"HEAD", "/204", 204, -2, 0}, {"HEAD", "/304", 304, -2, 0}, {"GET", "/0", 200, 0, 0}, {"GET", "/full", 200, 1234, 1234},
			} {
				res := p.ask(t, ask.method, ask.path, nil, 0)
				body := whole(t, res)
				if res.StatusCode != ask.status || len(body) != ask.body || ask.length >= -1 && res.ContentLength != ask.length {
					t.Errorf("%s %s: %d, length %d, %d bytes", ask.method, ask.path, res.StatusCode, res.ContentLength, len(body))
				}
			}
		}
	})
}

// TestTranslateClientGone: the service hears of a client that goes away in the
// middle, of its request or of the response.
func TestTranslateClientGone(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	ends := map[string]chan string{}
	at := func(path string) chan string {
		mu.Lock()
		defer mu.Unlock()
		if ends[path] == nil {
			ends[path] = make(chan string, 2)
		}
		return ends[path]
	}
	c := cross(t, "", func(w http.ResponseWriter, r *http.Request) {
		mine := at(r.URL.Path)
		if r.Method == "POST" {
			if _, err := io.ReadFull(r.Body, make([]byte, 1000)); err != nil {
				t.Error(err)
			}
			mine <- "begun"
			if n, err := io.Copy(io.Discard, r.Body); err == nil {
				mine <- fmt.Sprint("read ", n, " bytes more, as if that were all")
			}
			mine <- "cancelled"
			return
		}
		// A client of HTTP/1.1 that has closed may have closed its half only:
		// it is known by what it does not take any more.
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			io.WriteString(w, "more.")
			http.NewResponseController(w).Flush()
			select {
			case <-r.Context().Done():
				mine <- "cancelled"
				return
			case <-tick.C:
			}
		}
	})
	c.each(t, func(t *testing.T, p *pair) {
		ctx, cancel := context.WithCancel(t.Context())
		within := func(r *http.Request) { *r = *r.WithContext(ctx) }
		tag := "/" + p.service + "/" + p.client
		res := p.ask(t, "GET", "/"+p.client+"/get", nil, 0, within)
		begun := make([]byte, 5)
		if _, err := io.ReadFull(res.Body, begun); err != nil {
			t.Fatal(err)
		}
		cancel()
		if got := receive(t, at(tag+"/get")); got != "cancelled" {
			t.Error(got)
		}
		res.Body.Close()

		ctx, cancel = context.WithCancel(t.Context())
		body, writer := io.Pipe()
		gone := make(chan error, 1)
		go func() {
			_, err := p.try(t, "POST", "/"+p.client+"/post", body, -1, within)
			gone <- err
		}()
		writer.Write(pattern(10_000)) // net/http keeps back less
		if got := receive(t, at(tag+"/post")); got != "begun" {
			t.Error(got)
		}
		cancel()
		writer.CloseWithError(io.ErrUnexpectedEOF) // net/http waits for a read that has begun
		if err := receive(t, gone); err == nil {
			t.Error("a cancelled request got an answer")
		}
		if got := receive(t, at(tag+"/post")); got != "cancelled" {
			t.Error(got)
		}
	})
}

// TestTranslateServiceGone: a response that breaks off is not taken for a whole
// one, and neither end keeps the others of its connection from going on.
func TestTranslateServiceGone(t *testing.T) {
	t.Parallel()
	c := cross(t, "", func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/good") {
			io.WriteString(w, "good")
			return
		}
		if strings.HasSuffix(r.URL.Path, "/length") {
			w.Header().Set("Content-Length", "1000")
		}
		if !strings.HasSuffix(r.URL.Path, "/before") {
			io.WriteString(w, "half")
			http.NewResponseController(w).Flush()
		}
		panic(http.ErrAbortHandler)
	})
	c.each(t, func(t *testing.T, p *pair) {
		for _, path := range []string{"/length", "/chunks"} {
			res := p.ask(t, "GET", path, nil, 0)
			got, err := io.ReadAll(res.Body)
			res.Body.Close()
			if err == nil || string(got) != "half" {
				t.Errorf("%s: %q, %v", path, got, err)
			}
			if p.client != h1 && !strings.Contains(fmt.Sprint(err), "INTERNAL_ERROR") {
				t.Errorf("%s: %v, want a reset with INTERNAL_ERROR", path, err)
			}
			if body := whole(t, p.ask(t, "GET", "/good", nil, 0)); body != "good" {
				t.Errorf("afterwards %q", body)
			}
		}
		res := p.ask(t, "POST", "/before", bytes.NewReader([]byte("x")), 1)
		want := `"code":"upstream_reset"`
		if p.service != h1 {
			want = `"code":"upstream_stream_reset"` // the connection goes on
		}
		if body := whole(t, res); res.StatusCode != 502 || !strings.Contains(body, want) {
			t.Errorf("before the head: %d %s", res.StatusCode, body)
		}
	})
}

// TestTranslateLargeHeads: heads of 60 kB pass both ways where limits allow
// them, in one field and in many.
func TestTranslateLargeHeads(t *testing.T) {
	t.Parallel()
	one, many := strings.Repeat("v", 60<<10-400), strings.Repeat("w", 280)
	c := cross(t, "{headBytes: 64KiB, fields: 400}", func(w http.ResponseWriter, r *http.Request) {
		for name, values := range r.Header {
			if strings.HasPrefix(name, "X-Big") {
				w.Header()[name] = values
			}
		}
	})
	c.each(t, func(t *testing.T, p *pair) {
		for range 2 {
			res := p.ask(t, "GET", "/one", nil, 0, func(r *http.Request) { r.Header.Set("X-Big", one) })
			if whole(t, res); res.StatusCode != 200 || res.Header.Get("X-Big") != one {
				t.Fatalf("one field: %d, %d bytes", res.StatusCode, len(res.Header.Get("X-Big")))
			}
			res = p.ask(t, "GET", "/many", nil, 0, func(r *http.Request) {
				for i := range 180 {
					r.Header.Set(fmt.Sprint("X-Big-", i), fmt.Sprint(i, many))
				}
			})
			whole(t, res)
			for i := range 180 {
				if got := res.Header.Get(fmt.Sprint("X-Big-", i)); got != fmt.Sprint(i, many) {
					t.Fatalf("field %d of many: %d %q", i, res.StatusCode, got)
				}
			}
		}
		if p.client != h1 {
			return // net/http does not send what the other end does not take
		}
		res := p.ask(t, "GET", "/toomany", nil, 0, func(r *http.Request) { r.Header.Set("X-Big", one+one) })
		if body := whole(t, res); res.StatusCode != 431 || !strings.Contains(body, `"head_too_large"`) {
			t.Errorf("too large: %d %s", res.StatusCode, body)
		}
	})
}
