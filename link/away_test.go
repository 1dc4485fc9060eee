package link

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// TestAway: that no control plane is reached is logged once a minute, another
// reason at once; and that a node has nothing to go on with before it has joined.
func TestAway(t *testing.T) {
	t.Parallel()
	now, log := time.Unix(1000, 0), &logged{}
	c := &Client{options: ClientOptions{Now: func() time.Time { return now }}, log: slog.New(slog.NewTextHandler(log, nil))}
	var told unreached
	refused := errors.New("connection refused")
	c.away(&told, "10.0.0.1:15012", refused)
	c.away(&told, "10.0.0.1:15012", refused)
	c.away(&told, "10.0.0.1:15012", errors.New("no route"))
	now = now.Add(toldEvery)
	c.away(&told, "10.0.0.1:15012", errors.New("no route"))
	if lines := strings.Count(log.String(), "\n"); lines != 3 || strings.Count(log.String(), "has not joined yet") != 3 {
		t.Errorf("%d lines, want 3:\n%s", lines, log)
	}
	c.own = &ownIdentity{}
	c.away(&told, "10.0.0.1:15012", refused)
	if !strings.Contains(log.String(), "going on with what there is") {
		t.Errorf("%s", log)
	}
}
