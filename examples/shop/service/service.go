// Package service is what the programs of the demo shop have in common: how
// they start, stop and speak JSON.
package service

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// Run serves mux on the address of the flag -listen until the process is told
// to stop; requests under way may finish. It parses the flags.
func Run(name, listen string, routes func(mux *http.ServeMux) (stop func() error, err error)) {
	log.SetFlags(0)
	log.SetPrefix(name + ": ")
	flag.StringVar(&listen, "listen", listen, "address to listen on")
	flag.Parse()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("ok\n")) })
	stop, err := routes(mux)
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Addr: listen, Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- server.ListenAndServe() }()
	select {
	case err = <-ended:
	case <-ctx.Done():
		within, done := context.WithTimeout(context.Background(), 5*time.Second)
		defer done()
		err = server.Shutdown(within)
	}
	if stop != nil {
		err = errors.Join(err, stop())
	}
	if err != nil && !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
}

// Reply writes v as JSON.
func Reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(v); err != nil {
		log.Print("answer not written: ", err)
	}
}

// Fault is the body of an answer that is a failure.
type Fault struct {
	Error string `json:"error"`
}

// Fail answers with a Fault.
func Fail(w http.ResponseWriter, status int, text string) { Reply(w, status, Fault{text}) }

// Read decodes a request's body of at most 64 KiB into v.
func Read(w http.ResponseWriter, r *http.Request, v any) error {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10))
	d.DisallowUnknownFields()
	return d.Decode(v)
}
