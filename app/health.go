package app

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/naru-mesh/naru/model"
)

// How a workload's health is asked for: often until it is there, then as a
// service's health check does.
const (
	soon     = 100 * time.Millisecond
	steady   = 5 * time.Second
	patience = 2 * time.Second
	failures = 3 // in a row, until nothing new is sent to it
)

// watch asks for a resident's health until it leaves.
func (r *resident) watch() {
	if len(r.ports) == 0 || r.wish.Health == "none" {
		r.become(model.Serving)
		return
	}
	client := &http.Client{Timeout: patience, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{DisableKeepAlives: true, Proxy: nil, DialContext: r.dial}}
	healthy, failed := false, 0
	for {
		pause := steady
		switch err := r.ask(client); {
		case r.ctx.Err() != nil:
			return
		case err == nil:
			if !healthy {
				r.node.log.Info("a workload serves", "workload", r.name)
			}
			healthy, failed = true, 0
			r.become(model.Serving)
		default:
			if failed++; healthy && failed >= failures {
				healthy = false
				r.node.log.Warn("a workload does not answer; nothing new is sent to it", "workload", r.name, "error", err)
				r.become(model.Unhealthy)
			}
			pause = time.Second
			if !healthy {
				pause = min(soon*time.Duration(failed), time.Second)
			}
		}
		select {
		case <-r.ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// ask is one question.
func (r *resident) ask(client *http.Client) error {
	at := net.JoinHostPort("127.0.0.1", strconv.Itoa(int(r.ports[0].Port)))
	ctx, cancel := context.WithTimeout(r.ctx, patience)
	defer cancel()
	if !strings.HasPrefix(r.wish.Health, "/") {
		conn, err := r.dial(ctx, "tcp", at)
		if err == nil {
			conn.Close()
		}
		return err
	}
	req, err := http.NewRequestWithContext(ctx, "GET", "http://"+at+r.wish.Health, nil)
	if err != nil {
		return err
	}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10))
	if res.StatusCode < 200 || res.StatusCode >= 400 {
		return fmt.Errorf("it answers %s", res.Status)
	}
	return nil
}
