// Command echo stands in for services: it listens on the ports that it is
// given and answers each request with the port and what it was asked.
//
//	echo 9001 9002
//
// A few paths do more: /echo... shows the whole request, /protocol the version
// of HTTP that it came in, /wait answers only after a minute, /fail answers 503,
// /flaky answers 503 every other time. It speaks HTTP/1.1 and, by prior
// knowledge, HTTP/2.
package main

import (
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("echo: ")
	if len(os.Args) < 2 {
		log.Fatal("which ports? For example: echo 9001 9002")
	}
	ended := make(chan error)
	for _, port := range os.Args[1:] {
		ln, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", port))
		if err != nil {
			log.Fatal(err)
		}
		server := &http.Server{Handler: &echo{port: port}, ReadHeaderTimeout: 5 * time.Second, Protocols: new(http.Protocols)}
		server.Protocols.SetHTTP1(true)
		server.Protocols.SetUnencryptedHTTP2(true)
		go func() { ended <- server.Serve(ln) }()
		log.Println("listening on", ln.Addr())
	}
	log.Fatal(<-ended)
}

// echo is the service on one port.
type echo struct {
	port  string
	asked atomic.Uint64 // requests for /flaky
}

func (e *echo) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	switch {
	case strings.HasSuffix(path, "/wait"):
		select {
		case <-r.Context().Done():
		case <-time.After(time.Minute):
		}
	case strings.HasSuffix(path, "/fail"),
		strings.HasSuffix(path, "/flaky") && e.asked.Add(1)%2 == 1:
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	fmt.Fprintf(w, "%s: %s %s\n", e.port, r.Method, r.URL.RequestURI())
	switch {
	case strings.Contains(path, "/echo"):
		show(w, r)
	case strings.HasSuffix(path, "/protocol"):
		fmt.Fprintln(w, r.Proto)
	}
}

// show writes the header fields, sorted.
func show(w http.ResponseWriter, r *http.Request) {
	lines := []string{"host: " + r.Host}
	for name, values := range r.Header {
		for _, v := range values {
			lines = append(lines, strings.ToLower(name)+": "+v)
		}
	}
	slices.Sort(lines)
	fmt.Fprintln(w, strings.Join(lines, "\n"))
}
