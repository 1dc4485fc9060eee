package load

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// shakes runs a Plan of fresh TLS connections: a full handshake and one
// request each. The handshake costs so much more than everything else that
// blocking goroutines will do; and every setting of crypto/tls is at hand:
// X25519 only, because not every proxy has the hybrid with ML-KEM, and no
// session tickets.
func (r *run) shakes() Result {
	cfg := &tls.Config{
		InsecureSkipVerify: true, ServerName: r.plan.Host, SessionTicketsDisabled: true,
		CurvePreferences: []tls.CurveID{tls.X25519}, MinVersion: tls.VersionTLS13,
	}
	var (
		mu      sync.Mutex
		res     Result
		counts  histogram
		clients sync.WaitGroup
	)
	for i := range r.plan.Conns {
		ask := request("GET", r.plan.Host, r.plan.Paths[i%len(r.plan.Paths)], "close", 0)
		clients.Go(func() {
			for !r.stopping.Load() {
				since := r.now()
				why := r.shake(cfg, ask)
				mu.Lock()
				switch {
				case why != "":
					res.Failed++
					if len(res.Failures) < mostReasons && !slices.Contains(res.Failures, why) {
						res.Failures = append(res.Failures, why)
					}
				case r.inWindow():
					res.Requests++
					counts.add(r.now() - since)
				}
				tooMany := res.Failed > mostFailures
				mu.Unlock()
				if tooMany {
					return
				}
			}
		})
	}
	r.sleep(r.plan.Warm)
	window := r.open()
	r.sleep(r.plan.Window)
	mu.Lock()
	window.close(&res)
	mu.Unlock()
	r.stopping.Store(true)
	clients.Wait()
	res.P50, res.P99, res.Most = counts.quantile(0.5), counts.quantile(0.99), counts.most
	return res
}

// shake makes one connection with one request; "" is success.
func (r *run) shake(cfg *tls.Config, ask []byte) string {
	raw, err := net.DialTimeout("tcp", r.plan.Addr.String(), 5*time.Second)
	if err != nil {
		return "no connection"
	}
	defer func() {
		_ = raw.(*net.TCPConn).SetLinger(0) // both sides are done: no TIME_WAIT
		raw.Close()
	}()
	_ = raw.SetDeadline(time.Now().Add(5 * time.Second))
	c := tls.Client(raw, cfg)
	if _, err := c.Write(ask); err != nil {
		return "handshake: " + strings.TrimPrefix(err.Error(), "remote error: ")
	}
	answer, err := http.ReadResponse(bufio.NewReaderSize(c, 1024), nil)
	if err != nil {
		return "no answer"
	}
	n, err := io.Copy(io.Discard, answer.Body)
	answer.Body.Close()
	switch {
	case err != nil:
		return "answer cut off"
	case answer.StatusCode != http.StatusOK:
		return "answered " + strconv.Itoa(answer.StatusCode)
	case int(n) != r.plan.Want:
		return "body of " + strconv.Itoa(int(n)) + " bytes"
	}
	_, _ = io.Copy(io.Discard, raw) // until the proxy closes
	return ""
}
