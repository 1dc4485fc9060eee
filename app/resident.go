package app

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/naru-mesh/naru/admin"
	"github.com/naru-mesh/naru/capture"
	"github.com/naru-mesh/naru/identity"
	"github.com/naru-mesh/naru/link"
	"github.com/naru-mesh/naru/mesh"
	"github.com/naru-mesh/naru/model"
)

// resident is a workload of this machine.
type resident struct {
	node     *node
	wish     admin.Wish
	name     string // the workload's
	ports    []model.WorkloadPort
	workload *model.Workload // of now; replaced under the node's mu, not written to
	news     chan struct{}   // workload is to be told to the control plane
	id       identity.ID
	outbound uint16
	// pass is the password of its outbound door where it is told of it by its
	// environment; "": it is captured, or has no way there.
	pass string
	own  bool // and by the kernel's word, too
	// unseen: the kernel's word is about its user, not about its processes.
	unseen bool
	reach  []mesh.Reach
	// method is how its traffic comes; cage is nil where that is Explicit or off.
	method  capture.Method
	cage    *capture.Cage
	names   []io.Closer // of the mesh DNS in its network namespace
	placed  bool        // where its doors belong is known
	six     bool        // it has a door on ::1, too
	release func()
	about   admin.About
	by      admin.Caller
	need    int    // the generation that has it
	how     string // it is captured; "" until it is known
	untold  error  // why the control plane does not know it yet; under the node's mu

	ctx    context.Context
	cancel context.CancelFunc
	tasks  sync.WaitGroup
}

// settle gets a resident its identity, its capture and its door.
func (n *node) settle(r *resident) error {
	r.release = n.agent.Hold(r.id)
	r.about.Name, r.about.Identity, r.about.Capture = r.name, string(r.id), string(r.method)
	r.about.Env = append(r.about.Env, "SPIFFE_ENDPOINT_SOCKET=unix://"+n.opt.apiSocket(), "NARU_WORKLOAD="+r.name)
	// Its doors are open before anything is brought to them.
	if err := n.open(r); err != nil {
		return err
	}
	if err := n.cage(r); err != nil {
		return err
	}
	n.mu.Lock()
	r.how = r.about.Capture
	n.mu.Unlock()
	r.toldOfReach()
	n.api.Recheck()
	r.news <- struct{}{}
	r.tasks.Go(r.tell)
	return nil
}

// open has a resident's doors opened. A port that was free when it was chosen may
// be another's since: two nodes of one machine look for theirs in the same order.
func (n *node) open(r *resident) error {
	for range doorTries {
		if err := n.place(r); err != nil {
			return fmt.Errorf("capture: %w", err)
		}
		n.mu.Lock()
		r.placed = true
		n.generation++
		r.need = n.generation
		n.mu.Unlock()
		n.lower.Again()
		ctx, cancel := context.WithTimeout(r.ctx, doorTime)
		err := n.until(ctx, func() bool { return n.applied >= r.need })
		cancel()
		if err != nil {
			return errors.New("the proxy has no door for it: the newest configuration is not in force (see /problems of the admin server)")
		}
		shut, err := n.shut(r)
		if err != nil || len(shut) == 0 {
			return err
		}
		n.mu.Lock()
		err = n.move(r, shut)
		n.mu.Unlock()
		if err != nil {
			return err
		}
	}
	return fmt.Errorf("the proxy cannot open a door for it: %d ports that were free are in use by now (see /problems of the admin server)", doorTries)
}

// doorTries bounds how many ports are tried.
const doorTries = 10

// isOpen says whether a resident's door is.
func (n *node) isOpen(r *resident) bool {
	doors := 1
	if r.six {
		doors = 2
	}
	return len(n.inbound(r.outbound)) >= doors
}

// doorTime bounds the wait for a configuration with a workload's doors.
const doorTime = 10 * time.Second

// place makes the network namespace of a resident that has one: nothing runs in
// it yet, or what does is refused, until its doors are open.
func (n *node) place(r *resident) error {
	if r.method != capture.Nftables {
		return n.marked.places.put(r, nil)
	}
	dns := netip.AddrPortFrom(loopback, dnsPort)
	cage, err := n.cages.Workload(n.cageOptions(r, dns))
	if err != nil {
		return err
	}
	n.mu.Lock()
	r.cage = cage
	n.mu.Unlock()
	if r.six && cage.Inside(hasIPv6) != nil {
		n.mu.Lock()
		r.six = false
		n.mu.Unlock()
		if _, err := n.cages.Workload(n.cageOptions(r, dns)); err != nil {
			return err
		}
	}
	r.about.Netns = cage.Netns
	if r.names == nil {
		if r.names, err = n.namesInside(r); err != nil {
			return err
		}
	}
	return n.marked.places.put(r, cage)
}

// cage brings a resident to its doors.
func (n *node) cage(r *resident) error {
	switch r.method {
	case capture.Explicit:
		r.about.Env = append(r.about.Env, explicitEnv(netip.AddrPortFrom(loopback, r.outbound), r.pass)...)
		r.about.Door = &admin.Door{Port: r.outbound, Pass: r.pass}
		return nil
	case capture.EBPF:
	default:
		return nil
	}
	dns, err := n.answer(r.wish.Namespace)
	if err != nil {
		return err
	}
	opt := n.cageOptions(r, dns.at)
	opt.Names = dns.sockets
	cage, err := n.cages.Workload(opt)
	if err != nil {
		return fmt.Errorf("capture: %w", err)
	}
	n.mu.Lock()
	r.cage = cage // attest looks at it
	n.mu.Unlock()
	if err := r.cage.Adopt(r.by.PID); err != nil {
		return fmt.Errorf("capture: %w", err)
	}
	if r.by.Gone() {
		return errors.New("capture: the process that asked has ended") // and another one goes back to where it was
	}
	return nil
}

// passOf is what the door of a resident knows its workload by.
func (r *resident) passOf() []byte {
	if r.pass == "" {
		return nil
	}
	sum := sha256.Sum256([]byte("Basic " + base64.StdEncoding.EncodeToString([]byte(passUser+":"+r.pass))))
	return sum[:]
}

// passUser is the user name with the password of an outbound door.
const passUser = "naru"

// explicitEnv is what HTTP clients look at. Others cannot read the environment
// of a user's processes.
func explicitEnv(proxy netip.AddrPort, pass string) []string {
	url := "http://" + passUser + ":" + pass + "@" + proxy.String()
	return []string{"HTTP_PROXY=" + url, "http_proxy=" + url, "HTTPS_PROXY=" + url, "https_proxy=" + url, "NO_PROXY=localhost,127.0.0.1,::1", "no_proxy=localhost,127.0.0.1,::1"}
}

func (n *node) cageOptions(r *resident, dns netip.AddrPort) capture.WorkloadOptions {
	opt := capture.WorkloadOptions{Name: r.name, Outbound: netip.AddrPortFrom(loopback, r.outbound), DNS: dns}
	if r.six {
		opt.Outbound6, opt.DNS6 = netip.AddrPortFrom(loopback6, r.outbound), netip.AddrPortFrom(loopback6, dns.Port())
	}
	for _, p := range r.ports {
		opt.Ports = append(opt.Ports, p.Port)
	}
	if n.inbound != nil && r.method == capture.EBPF {
		n.mu.Lock()
		plain := n.plain
		n.mu.Unlock()
		opt.Inbound = n.inbound(plain)
		opt.Doors = n.inbound(r.outbound)
	}
	return opt
}

// tellTime bounds one try to make a workload known.
const tellTime = 3 * time.Second

// tell tells the control plane of what the workload has become, until it
// leaves: always the newest, so that nothing older arrives after it.
func (r *resident) tell() {
	known, said := false, "" // the same again is not logged
	for {
		select {
		case <-r.ctx.Done():
			return
		case <-r.news:
		}
		r.node.mu.Lock()
		w := r.workload
		r.node.mu.Unlock()
		// It is not broken off when the workload leaves: what was on its way could
		// then arrive after the news that it has left, and stay.
		whole, cancel := context.WithTimeout(context.WithoutCancel(r.ctx), tellTime)
		err := r.node.plane.Register(whole, w)
		cancel()
		r.node.mu.Lock()
		r.untold = err
		r.node.stir()
		r.node.mu.Unlock()
		if err == nil {
			said = ""
			if !known {
				known = true
				r.node.agent.Retry() // its identity was refused as long as it was not registered
			}
		} else if r.ctx.Err() == nil {
			if err.Error() != said {
				said = err.Error()
				r.node.log.Warn("a workload is not registered yet", "workload", r.name, "error", err)
			}
			select {
			case <-r.ctx.Done():
			case <-time.After(time.Second):
			}
			r.tellAgain()
		}
	}
}

func (r *resident) tellAgain() {
	select {
	case r.news <- struct{}{}:
	default: // it will see the newest
	}
}

// About implements admin.Attached.
func (r *resident) About() admin.About { return r.about }

// Ready implements admin.Attached.
func (r *resident) Ready(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// A workload that may not be here gets no identity, however long it waits.
	denied := make(chan error, 1)
	go func() {
		denied <- r.node.until(ctx, func() bool { return errors.Is(r.untold, link.ErrDenied) })
		cancel()
	}()
	err := r.node.agent.Wait(ctx, r.id)
	cancel()
	if never := <-denied; err == nil || never != nil {
		return err
	}
	r.node.mu.Lock()
	defer r.node.mu.Unlock()
	return r.untold
}

// Started implements admin.Attached.
func (r *resident) Started() {
	r.tasks.Go(r.watch)
	r.node.rest.Reset(atRest)
}

// atRest is when what the coming of a workload has needed is given back.
const atRest = 5 * time.Second

// become tells everybody of a state.
func (r *resident) become(state model.WorkloadState) {
	n := r.node
	n.mu.Lock()
	if r.workload.State == state || r.workload.State == model.Draining {
		n.mu.Unlock()
		return
	}
	w := *r.workload
	w.State = state
	r.workload = &w
	n.generation++
	n.mu.Unlock()
	n.lower.Again()
	r.tellAgain()
}

// Drain implements admin.Attached. The news go to the control plane and come back
// to all proxies; it returns when our own goes by them, and every other that the
// control plane knows.
func (r *resident) Drain(ctx context.Context) error {
	n := r.node
	r.become(model.Draining)
	told := 0 // the generation that has the news
	err := n.until(ctx, func() bool {
		if n.known == nil || len(r.ports) == 0 {
			return true
		}
		if told == 0 {
			i := slices.IndexFunc(n.known.Workloads, func(w *model.Workload) bool { return w.Name == r.name })
			if i >= 0 && n.known.Workloads[i].State != model.Draining {
				return false
			}
			told = n.generation
		}
		return n.applied >= told
	})
	if err != nil || len(r.ports) == 0 {
		return err
	}
	pause := nearTime
	if n.far {
		short, cancel := context.WithTimeout(ctx, settleTime)
		defer cancel()
		if err := n.plane.Settle(short, r.name); err != nil && ctx.Err() == nil {
			n.log.Warn("not every proxy says that it knows that a workload leaves", "workload", r.name, "error", err)
			pause = farTime
		}
	}
	// What was on its way when the news came still arrives.
	select {
	case <-time.After(pause):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// For how long after a workload was taken out of service somebody may still
// call it: proxies go by the news when they have said so, but what they have
// begun to send is on its way. farTime is where not all have said so within
// settleTime.
const (
	nearTime   = 100 * time.Millisecond
	farTime    = time.Second
	settleTime = 3 * time.Second
)

// Leave implements admin.Attached.
func (r *resident) Leave() {
	n := r.node
	r.cancel()
	r.tasks.Wait()
	n.mu.Lock()
	delete(n.locals, r.name)
	n.generation++
	n.mu.Unlock()
	n.lower.Again()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := n.plane.Unregister(ctx, r.wish.Namespace, r.wish.Instance); err != nil {
		n.log.Warn("a workload that has left is registered still; it ends with its lease", "workload", r.name, "error", err)
	}
	n.callers.Forget(r.name)
	if r.release != nil {
		r.release()
	}
	ending := false
	select {
	case <-n.over:
		ending = true
	default:
	}
	closeAll(r.names)
	if r.cage != nil && !ending {
		if err := r.cage.Close(); err != nil {
			n.log.Warn("what captured a workload cannot be removed", "workload", r.name, "error", err)
		}
	}
	n.api.Recheck()
	n.log.Info("a workload has left", "workload", r.name)
}
