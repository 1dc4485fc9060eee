package app

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/naru-mesh/naru/admin"
	"github.com/naru-mesh/naru/link"
)

// askTime bounds what another replica is waited for.
const askTime = 2 * time.Second

// announce has the other replicas know where to ask this one.
func (c *controlPlane) announce() {
	r := link.Replica{Name: c.opt.Node, Began: time.Now().UTC()}
	if host, port, err := net.SplitHostPort(c.listening); err == nil {
		// Not what tokens name: that may be in front of all of them.
		if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
			host = c.opt.Address
		}
		r.Address = net.JoinHostPort(host, port)
	}
	c.tasks.Go(func() { link.Announce(c.ctx, c.store, r, c.log) })
}

// report is what the other replicas are told of this one.
func (c *controlPlane) report(ctx context.Context) ([]byte, error) {
	s, err := c.view.here(ctx)
	if err != nil {
		return nil, err
	}
	s.Workloads, s.Store, s.Roots = nil, nil, nil // all replicas know of these
	return json.Marshal(s)
}

// others asks all replicas but this one, each for askTime at most; where one
// gives no answer the error says why.
func (c *controlPlane) others(ctx context.Context) (list []link.Replica, said []*admin.PlaneStatus, failed []error, err error) {
	c.mu.Lock()
	server := c.server
	c.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	if list, err = link.Replicas(ctx, c.store); err != nil {
		return nil, nil, nil, err
	}
	list = slices.DeleteFunc(list, func(r link.Replica) bool { return r.Name == c.opt.Node })
	said, failed = make([]*admin.PlaneStatus, len(list)), make([]error, len(list))
	var asked sync.WaitGroup
	for i, r := range list {
		asked.Go(func() {
			if server == nil {
				failed[i] = errors.New("it cannot be asked from here: this control plane serves no nodes (--control-listen)")
				return
			}
			text, err := server.Ask(ctx, r)
			if err == nil {
				said[i] = &admin.PlaneStatus{}
				err = json.Unmarshal(text, said[i])
			}
			failed[i] = err
		})
	}
	asked.Wait()
	return list, said, failed, nil
}

// Status is of all replicas: each knows of the proxies that follow it.
func (v planeView) Status(ctx context.Context) (*admin.PlaneStatus, error) {
	s, err := v.here(ctx)
	if err != nil {
		return nil, err
	}
	s.Replicas = []admin.ReplicaStatus{{Name: s.Replica, Address: s.Listening, Began: v.began, Version: s.Version, Configuration: s.Configuration, Proxies: len(s.Proxies)}}
	if s.Limited != "" { // it is not waited for again
		s.Replicas[0].Error = "the state is away, and with it who the other control planes are"
		return s, nil
	}
	list, said, failed, err := v.others(ctx)
	if err != nil {
		s.Replicas[0].Error = "the state is away, and with it who the other control planes are: " + err.Error()
	}
	for i, r := range list {
		one := admin.ReplicaStatus{Name: r.Name, Address: r.Address, Began: r.Began}
		if failed[i] != nil {
			one.Error = failed[i].Error()
		} else {
			one.Version, one.Configuration, one.Proxies = said[i].Version, said[i].Configuration, len(said[i].Proxies)
			s.Proxies = append(s.Proxies, said[i].Proxies...)
		}
		s.Replicas = append(s.Replicas, one)
	}
	slices.SortStableFunc(s.Replicas, func(a, b admin.ReplicaStatus) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortStableFunc(s.Proxies, func(a, b admin.ProxyStatus) int {
		return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.Replica, b.Replica))
	})
	s.Away = v.away(ctx, s.Proxies)
	return s, nil
}

// away are the machines that have joined and are not among the proxies.
func (v planeView) away(ctx context.Context, proxies []admin.ProxyStatus) (names []string) {
	nodes, err := link.Nodes(ctx, v.store)
	if err != nil {
		v.log.Debug("who has joined is not known", "error", err)
		return nil
	}
	for _, n := range nodes {
		if !slices.ContainsFunc(proxies, func(p admin.ProxyStatus) bool { return p.Node == n.Node }) {
			names = append(names, n.Node)
		}
	}
	return names
}

// informed says whether all proxies of all replicas have the bundle with a
// sequence. A replica that cannot be asked may have some that have not.
func (c *controlPlane) informed(sequence uint64) error {
	list, said, failed, err := c.others(c.ctx)
	if err != nil {
		return err
	}
	for i, r := range list {
		switch {
		case failed[i] != nil && r.Address == "":
			// Nobody follows it but its own process.
		case failed[i] != nil:
			return fmt.Errorf("control plane %s: %w", r.Name, failed[i])
		case said[i].Published != sequence:
			return fmt.Errorf("control plane %s has another bundle", r.Name)
		case slices.ContainsFunc(said[i].Proxies, func(p admin.ProxyStatus) bool { return !p.Bundles }):
			return fmt.Errorf("not all proxies of control plane %s have it", r.Name)
		}
	}
	return nil
}
