package etcd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"

	"github.com/naru-mesh/naru/store"
)

// Bounds of the server's life.
const (
	startup = 60 * time.Second // a database of some GiB is read at the start
	stopped = 15 * time.Second
	look    = 10 * time.Second // how often it is seen whether room must be made
)

// server is an embedded etcd, and what keeps it running.
type server struct {
	opt  Options
	lock *os.File

	mu     sync.Mutex
	run    *running // nil while there is none
	broken error    // why there is none; nil while there is

	life   context.Context
	end    context.CancelFunc
	rung   chan struct{} // look now
	keeper sync.WaitGroup
}

// running is one start of the server.
type running struct {
	etcd   *embed.Etcd
	client *clientv3.Client
	fault  *fault
}

func openServer(ctx context.Context, o Options) (*server, error) {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, err
	}
	if err := os.Chmod(o.Dir, 0o700); err != nil {
		return nil, err
	}
	lock, err := lockFile(filepath.Join(o.Dir, "lock"))
	if err != nil {
		return nil, fmt.Errorf("the folder %s is used by another process, or cannot be written: %w", o.Dir, err)
	}
	v := &server{opt: o, lock: lock, rung: make(chan struct{}, 1)}
	_, none := os.Stat(filepath.Join(o.Dir, "member"))
	run, err := start(ctx, o)
	if err != nil {
		lock.Close()
		if none == nil && !errors.Is(err, store.ErrUnavailable) {
			err = fmt.Errorf("%w (where the files in %s are damaged, bring back a copy of that folder, or move it away: the mesh begins anew then, and its machines join it again)", err, o.Dir)
		}
		return nil, err
	}
	v.run = run
	v.life, v.end = context.WithCancel(context.Background())
	v.keeper.Go(v.keep)
	return v, nil
}

// start starts etcd and waits until it serves; a member only for a while, as it
// may have to wait for the others.
func start(ctx context.Context, o Options) (*running, error) {
	need := o.Reserve
	if _, err := os.Stat(filepath.Join(o.Dir, "member", "wal")); err == nil {
		need /= 8 // its log is there: enough to read from it
	}
	if free, err := freeBytes(o.Dir); err == nil && free < need {
		return nil, noRoom(o.Dir, free, need)
	}
	f := newFault()
	c, err := config(o, f)
	if err != nil {
		return nil, err
	}
	type outcome struct {
		etcd *embed.Etcd
		err  error
	}
	outcomes := make(chan outcome, 1)
	go func() {
		out := outcome{err: errors.New("etcd failed as it started")}
		defer func() {
			if why := recover(); why != nil {
				out = outcome{err: fmt.Errorf("etcd failed as it started: %v", why)}
			}
			select {
			case <-f.happened:
				out.err = errors.New(f.why)
			default:
			}
			outcomes <- out
		}()
		e, err := embed.StartEtcd(c)
		out = outcome{e, err}
	}()
	bounded, cancel := context.WithTimeout(ctx, startup)
	defer cancel()
	var out outcome
	select {
	case out = <-outcomes:
	case <-f.happened: // on another goroutine than the one that starts, which may wait for that for ever
		out.err = errors.New(f.why)
	case <-bounded.Done():
		go func() { // it may come late
			if out := <-outcomes; out.etcd != nil {
				out.etcd.Close()
			}
		}()
		return nil, fmt.Errorf("etcd has not started: %w", bounded.Err())
	}
	if out.err != nil {
		return nil, out.err
	}
	r := &running{etcd: out.etcd, fault: f}
	patience := time.NewTimer(startup)
	if len(o.Peers) > 1 {
		patience.Reset(o.Wait)
	}
	defer patience.Stop()
	select {
	case <-r.etcd.Server.ReadyNotify():
	case <-patience.C:
		if len(o.Peers) <= 1 {
			r.stop()
			return nil, errors.New("etcd has started and does not serve")
		}
		o.Log.Warn("the store waits for the other members: too few of them are there", "member", o.Name)
	case <-bounded.Done():
		r.stop()
		return nil, bounded.Err()
	case <-f.happened:
		r.stop()
		return nil, errors.New(f.why)
	}
	r.client = v3client.New(r.etcd.Server)
	go r.hear()
	return r, nil
}

// hear ends with the server. An error of a listener is a fault.
func (r *running) hear() {
	for err := range r.etcd.Err() {
		if err != nil {
			r.fault.tell(err.Error())
		}
	}
}

// stop ends the server; false when it did not end.
func (r *running) stop() bool {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { _ = recover() }() // of a server that is broken already
		if r.client != nil {
			_ = r.client.Close()
		}
		r.etcd.Close()
	}()
	select {
	case <-done:
		return true
	case <-time.After(stopped):
		return false
	}
}

// current gives what calls go through, or why there is nothing.
func (v *server) current() (*clientv3.Client, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.run == nil {
		return nil, v.broken
	}
	return v.run.client, nil
}

func (v *server) set(r *running, broken error) {
	v.mu.Lock()
	v.run, v.broken = r, broken
	v.mu.Unlock()
}

// wake has the keeper look now.
func (v *server) wake() {
	select {
	case v.rung <- struct{}{}:
	default:
	}
}

// keep makes room where etcd's database has reached its quota, and starts a
// server again that has failed.
func (v *server) keep() {
	t := time.NewTicker(look)
	defer t.Stop()
	for {
		run := v.run // only this goroutine changes it
		if run == nil {
			return
		}
		select {
		case <-v.life.Done():
			return
		case <-run.fault.happened:
			v.restart(run)
		case <-t.C:
			v.apart(run)
		case <-v.rung:
			v.apart(run)
		}
	}
}

// restart gives up a server and starts it anew, as soon as that works.
func (v *server) restart(old *running) {
	log := v.opt.Log
	log.Error("the store has failed; what serves goes on", "why", old.fault.why)
	v.set(nil, fmt.Errorf("%w: etcd has failed: %s", store.ErrUnavailable, old.fault.why))
	if !old.stop() {
		// Its database stays locked by what hangs in this process.
		log.Error("the store cannot be started again in this process: start naru anew", "why", old.fault.why)
		v.set(nil, fmt.Errorf("%w: etcd has failed, naru must be started anew: %s", store.ErrUnavailable, old.fault.why))
		return
	}
	for wait := again; ; wait = min(2*wait, 30*time.Second) {
		select {
		case <-v.life.Done():
			return
		case <-time.After(wait):
		}
		run, err := start(v.life, v.opt)
		if err != nil {
			log.Warn("the store does not start yet", "error", err)
			v.set(nil, fmt.Errorf("%w: etcd does not start: %v", store.ErrUnavailable, err))
			continue
		}
		log.Info("the store is back")
		v.set(run, nil)
		return
	}
}

func (v *server) close() error {
	v.end()
	v.keeper.Wait()
	defer v.lock.Close()
	v.mu.Lock()
	run := v.run
	v.run, v.broken = nil, errClosed
	v.mu.Unlock()
	if run != nil && !run.stop() {
		return errors.New("store: etcd did not stop in time")
	}
	return nil
}

// apart mends on a goroutine of its own, which a failing server may end or hold
// up for ever.
func (v *server) apart(run *running) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		v.mend(run)
	}()
	select {
	case <-done:
	case <-run.fault.happened:
	case <-time.After(stopped):
		v.opt.Log.Warn("making room in the store takes long")
	}
}

// mend makes room: history and holes go, and if the database is then below its
// quota, writing is allowed again.
func (v *server) mend(run *running) {
	defer func() {
		if why := recover(); why != nil {
			v.opt.Log.Error("making room in the store failed", "panic", why)
		}
	}()
	const enough = 0.9
	ctx, cancel := context.WithTimeout(v.life, stopped)
	defer cancel()
	alarms, err := run.client.AlarmList(ctx)
	if err != nil || len(alarms.Alarms) == 0 {
		return
	}
	self := uint64(run.etcd.Server.MemberID())
	before, err := run.client.Status(ctx, "")
	if err != nil {
		return
	}
	_, _ = run.client.Compact(ctx, before.Header.Revision, clientv3.WithCompactPhysical()) // done already: as good
	used, err := run.client.Status(ctx, "")
	if err != nil || float64(used.DbSizeInUse) > enough*float64(v.opt.Quota) {
		return // nothing has been deleted yet
	}
	// Not through the client: within the process that call has no one to tell
	// that the server is busy, and fails.
	if err := run.etcd.Server.Backend().Defrag(); err != nil {
		v.opt.Log.Warn("making room in the store failed", "error", err)
		return
	}
	after, err := run.client.Status(ctx, "")
	if err != nil {
		return
	}
	for _, a := range alarms.Alarms {
		if a.MemberID == self {
			_, _ = run.client.AlarmDisarm(ctx, (*clientv3.AlarmMember)(a)) // else at the next look
		}
	}
	v.opt.Log.Info("the store has room again", slog.Int64("before", before.DbSize), slog.Int64("after", after.DbSize))
}
