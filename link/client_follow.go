package link

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/naru-mesh/naru/identity"
	"github.com/naru-mesh/naru/model"
)

// errRenewed ends a stream whose certificate is not the newest.
var errRenewed = errors.New("the node's certificate was renewed")

// following is one stream. Any goroutine may say something on it.
type following struct {
	mu     sync.Mutex // of sending
	stream grpc.ClientStream
	end    context.CancelCauseFunc
}

// say sends; a stream that does not take it ends by itself.
func (f *following) say(a *ask) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.stream.SendMsg(a); err != nil {
		f.end(fmt.Errorf("say something to the control plane: %w", err))
	}
}

// follow holds one stream to one server until it ends, and says why.
func (c *Client) follow(ctx context.Context, server string) error {
	conn, err := dial(server, clientTLS(c.options.TrustDomain, c.certificate, c.roots, c.options.Now))
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stream, err := conn.NewStream(ctx, &serviceDesc.Streams[0], "/"+serviceName+"/Follow")
	if err != nil {
		return err
	}
	f := &following{stream: stream, end: cancel}
	c.mu.Lock()
	first := &hello{Version: c.options.Version, Address: c.options.Address, Subscriptions: c.options.Subscriptions, Serves: c.options.Serves, Process: c.process}
	first.Count, first.Digest = c.set.digest()
	if c.wire != nil {
		first.Bundles = c.wire.Sum
	}
	c.stream, c.wanted, c.made, c.inForce = f, 0, nil, 0
	c.mu.Unlock()

	heard := make(chan struct{}, 1)
	var parts sync.WaitGroup
	defer parts.Wait()
	defer cancel(nil)
	defer c.update(func() {
		c.conn, c.stream, c.state.Connected, c.state.Limited = nil, nil, false, ""
	})
	f.say(&ask{Hello: first})
	parts.Go(func() { c.beat(ctx, f, heard) })
	var whole update // that is coming in parts
	for begun := false; ; {
		var u update
		if err := stream.RecvMsg(&u); err != nil {
			return refusedStream(ctx, err)
		}
		select {
		case heard <- struct{}{}:
		default:
		}
		if !begun {
			begun = true
			c.update(func() {
				now := c.options.Now()
				c.conn = conn
				c.state.Connected, c.state.Server, c.state.Address, c.state.Since, c.state.Error = true, u.Server, server, now, ""
			})
			c.log.Info("link: connected", "server", server, "replica", u.Server)
			parts.Go(func() { c.registerAll(ctx, f) })
		}
		if err := c.hear(&u.head); err != nil {
			return err
		}
		if u.Need {
			c.mu.Lock()
			list := c.set.have()
			c.mu.Unlock()
			f.say(&ask{Have: &haves{list}})
		}
		if u.Nonce == 0 {
			continue
		}
		if u.Nonce != whole.Nonce {
			whole = update{head: u.head}
		}
		whole.rest += u.rest
		if u.More {
			continue
		}
		f.say(c.apply(&whole))
		whole = update{}
	}
}

// refusedStream says why a stream has ended.
func refusedStream(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && ctx.Err() != nil {
		return cause
	}
	if status.Code(err) == codes.PermissionDenied {
		return fmt.Errorf("%w: %s", ErrRefused, status.Convert(err).Message())
	}
	return err
}

// minBeat is the shortest interval that a control plane may ask for.
const minBeat = 100 * time.Millisecond

// countsEvery is how often a proxy says what it has counted, mostCounts how long
// that may be.
const (
	countsEvery = time.Second
	mostCounts  = 256 << 10
)

// beat says that we are here, and ends the stream when the server says nothing.
func (c *Client) beat(ctx context.Context, f *following, heard <-chan struct{}) {
	every := c.options.Heartbeat
	tick := time.NewTicker(every)
	defer tick.Stop()
	var counted <-chan time.Time
	if c.options.Counts != nil {
		t := time.NewTicker(countsEvery)
		defer t.Stop()
		counted = t.C
	}
	for silent := 0; ; {
		a := &ask{Ping: c.options.Now().UnixNano(), Skew: int64(c.Status().Skew)}
		if c.options.Certificates != nil {
			a.Certificates = c.options.Certificates()
		}
		f.say(a)
		for told := true; told; {
			told = false
			select {
			case <-ctx.Done():
				return
			case <-c.serves:
				told = true
				f.say(&ask{Serves: c.served()})
			case <-counted:
				told = true
				if counts := c.options.Counts(); len(counts) > 0 && len(counts) <= mostCounts {
					f.say(&ask{Counts: counts})
				}
			case wanted := <-c.beats:
				if wanted >= minBeat && wanted < every {
					every = wanted
					tick.Reset(every)
				}
			case <-tick.C:
			}
		}
		select {
		case <-heard:
			silent = 0
		default:
			if silent++; silent == 3 {
				f.end(errors.New("the control plane is silent"))
				return
			}
		}
	}
}

// hear takes what every message says.
func (c *Client) hear(h *head) error {
	now := c.options.Now()
	if h.Bundles != nil {
		if err := c.setBundles(h.Bundles); err != nil {
			return err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state.LastContact = now
	if before := c.state.Limited; h.Limited != before {
		c.state.Limited = h.Limited
		if before == "" {
			c.log.Warn("link: what is there stays, but nothing is signed or registered", "why", h.Limited)
		} else if h.Limited == "" {
			c.log.Info("link: identities and workloads are signed and registered again")
		}
	}
	if h.Nonce == 0 && h.System != "" {
		c.state.System, c.state.FromDisk = model.Version(h.System), false
	}
	if h.Pong == 0 {
		return nil
	}
	if wanted := time.Duration(h.Beat) * time.Millisecond; wanted != c.wanted {
		c.wanted = wanted
		select {
		case c.beats <- wanted:
		default:
		}
	}
	asked := time.Unix(0, h.Pong)
	skew, uncertain := identity.Skew(time.Unix(0, h.Time), asked, now)
	c.state.RTT, c.state.Skew = now.Sub(asked), identity.Surely(skew, uncertain)
	before := c.state.Clock
	c.state.Clock = identity.SkewMessage("control plane "+h.Server, skew, uncertain)
	switch {
	case c.state.Clock != "" && before == "":
		c.log.Warn("link: "+c.state.Clock, "skew", skew.Round(time.Millisecond))
	case c.state.Clock == "" && before != "":
		c.log.Info("link: the clock of this machine is right again", "skew", skew.Round(time.Millisecond))
	}
	return nil
}

func (c *Client) setBundles(w *wireBundles) error {
	b, pool, err := readBundles(w)
	if err != nil {
		return fmt.Errorf("the bundles of the control plane: %w", err)
	}
	if b.Own.TrustDomain != c.options.TrustDomain {
		return fmt.Errorf("the control plane is of trust domain %s, we are of %s", b.Own.TrustDomain, c.options.TrustDomain)
	}
	c.update(func() { c.bundles, c.wire, c.pool = b, w, pool })
	c.saveNode()
	return nil
}

// apply makes a Snapshot of what there is after an update, and the answer.
func (c *Client) apply(u *update) *ask {
	resources, err := readFrames(u.rest)
	if err != nil {
		// Not one resource but the message is broken: nothing of it is taken.
		return &ask{Ack: u.Nonce, Refused: []Refusal{{Message: err.Error()}}}
	}
	if c.options.Sink != nil {
		c.mu.Lock()
		c.set.remember(resources, u.Removed, c.options.Sink)
		c.mu.Unlock()
	}
	// The set has one writer, this goroutine: validating does not hold the lock
	// that Next waits for.
	var refused []Refusal
	var snapshot *model.Snapshot
	if c.options.Sink == nil {
		refused, snapshot = c.set.apply(resources, u.Removed, &c.mu)
	}
	for _, r := range refused {
		c.log.Warn("link: refused a resource of the control plane; what was before stays", "resource", Name{r.Kind, r.Name}.String(), "origin", r.Origin.String(), "field", r.Field, "message", r.Message)
	}
	a := &ask{Ack: u.Nonce, Refused: refused}
	c.update(func() {
		c.changes++
		c.state.System, c.state.FromDisk = model.Version(u.System), false
		if len(refused) > 0 {
			c.state.Refusals = refused
		} else {
			c.state.Refusals = stillRefused(c.state.Refusals, resources, u.Removed)
		}
		if snapshot != nil {
			if c.snapshot == nil || c.snapshot.Version != snapshot.Version {
				c.snapshot, c.state.Changed = snapshot, c.options.Now()
			}
			c.state.Applied = c.snapshot.Version
			a.Applied = string(c.snapshot.Version)
		}
		a.Serves = c.making(u.Nonce)
	})
	select {
	case c.save <- struct{}{}:
	default:
	}
	return a
}

// stillRefused leaves out what an update has replaced.
func stillRefused(list []Refusal, resources []Resource, removed []Name) (left []Refusal) {
	if len(list) == 0 {
		return nil
	}
	gone := map[Name]struct{}{}
	for i := range resources {
		gone[resources[i].Name] = struct{}{}
	}
	for _, n := range removed {
		gone[n] = struct{}{}
	}
	for _, r := range list {
		if _, ok := gone[Name{r.Kind, r.Name}]; !ok {
			left = append(left, r)
		}
	}
	return left
}

func readFrames(text string) (list []Resource, err error) {
	for text != "" {
		var r Resource
		if r, text, err = readFrame(text); err != nil {
			return nil, err
		}
		// The message is not kept alive by what stays of it.
		r.Name.Name, r.Sum, r.Body = strings.Clone(r.Name.Name), strings.Clone(r.Sum), strings.Clone(r.Body)
		list = append(list, r)
	}
	return list, nil
}

// deniedPause is how often a workload is registered again that the control
// plane refused: what the node may have can be changed there.
const deniedPause = 5 * time.Second

// unregisterAll says what has left while no control plane could be told, with
// the stream f. A lease that goes on would keep it in service.
func (c *Client) unregisterAll(ctx context.Context, f *following) error {
	c.mu.Lock()
	left, conn := maps.Clone(c.leaving), c.conn
	if c.stream != f {
		conn = nil
	}
	c.mu.Unlock()
	for name, namespace := range left {
		if conn == nil {
			return nil // another stream has begun, which says it
		}
		err := conn.Invoke(ctx, "/"+serviceName+"/Unregister", departure(namespace, name), &empty{})
		switch status.Code(err) {
		case codes.OK, codes.PermissionDenied, codes.InvalidArgument:
			c.update(func() { delete(c.leaving, name) })
		default:
			return fmt.Errorf("unregister workload %s: %w", name, err)
		}
	}
	return nil
}

// registerAll says again what runs here, and what does no more: another replica
// may not know, or the lease has ended.
func (c *Client) registerAll(ctx context.Context, f *following) {
	for err := c.unregisterAll(ctx, f); err != nil; err = c.unregisterAll(ctx, f) {
		if ctx.Err() != nil {
			return
		}
		if status.Code(errors.Unwrap(err)) != codes.FailedPrecondition { // the store is away, which is said
			f.end(err)
			return
		}
		if !pause(ctx, storeEvery) {
			return
		}
	}
	c.mu.Lock()
	list := make([]*model.Workload, 0, len(c.registered))
	for _, w := range c.registered {
		list = append(list, w)
	}
	c.mu.Unlock()
	for first := true; len(list) > 0; first = false {
		var denied []*model.Workload
		wait := deniedPause
		for _, w := range list {
			c.mu.Lock()
			conn, current := c.conn, c.registered[w.Name] == w && c.stream == f
			c.mu.Unlock()
			if !current || conn == nil {
				continue
			}
			err := conn.Invoke(ctx, "/"+serviceName+"/Register", &registerRequest{Workload: w, Process: c.process}, &empty{})
			if again := c.overtake(ctx, conn, w); err == nil {
				err = again
			}
			if err == nil || ctx.Err() != nil {
				continue
			}
			switch status.Code(err) {
			case codes.FailedPrecondition: // the store is away, which is said
				wait = storeEvery
				denied = append(denied, w)
				continue
			case codes.PermissionDenied, codes.InvalidArgument:
			default:
				f.end(fmt.Errorf("register workload %s again: %w", w.Name, err))
				return
			}
			if denied = append(denied, w); first {
				c.log.Error("link: a workload of this node cannot be registered", "workload", w.Name, "err", err)
			}
		}
		if list = denied; len(list) > 0 && !pause(ctx, wait) {
			return
		}
	}
}

// overtake says once more what has happened to a workload while it was registered
// again: the control plane may have heard of that first, and a workload that has
// left would stay for as long as its node does.
func (c *Client) overtake(ctx context.Context, conn *grpc.ClientConn, w *model.Workload) error {
	c.mu.Lock()
	now := c.registered[w.Name]
	c.mu.Unlock()
	switch now {
	case w:
		return nil
	case nil:
		c.update(func() { c.leaving[w.Name] = w.Namespace })
		err := conn.Invoke(ctx, "/"+serviceName+"/Unregister", departure(w.Namespace, w.Name), &empty{})
		if err == nil {
			c.update(func() { delete(c.leaving, w.Name) })
		}
		return err
	}
	return conn.Invoke(ctx, "/"+serviceName+"/Register", &registerRequest{Workload: now, Process: c.process}, &empty{})
}

func (c *Client) certificate() *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.own == nil {
		return nil
	}
	return &c.own.certificate
}

func (c *Client) roots() *x509.CertPool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pool
}
