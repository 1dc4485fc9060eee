package link

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/store"
)

// Where registrations are kept, and for how long without their node.
const (
	// documentsBelow holds documents as users write them, of every kind.
	documentsBelow = "documents/workloads/"
	// presentBelow says which accounts are on which node:
	// <node>/<namespace>/<account>/<name>.
	presentBelow = "link/present/"
	// RegistrationTTL is how long a workload stays registered when its node
	// is heard no more.
	RegistrationTTL = 30 * time.Second
)

// StoreRegistry is the Registry that writes each workload as a document of kind
// Workload below "documents/", where a source of stored documents finds it.
// The document goes when its node is gone.
type StoreRegistry struct {
	// TTL is for how long a workload stays when its node is heard no more; 0 is
	// RegistrationTTL. It is set before the first use.
	TTL time.Duration

	store store.Store

	mu     sync.Mutex
	leases map[string]*nodeLease // by node
}

// nodeLease holds what a node has registered at this replica.
type nodeLease struct {
	mu sync.Mutex
	id store.LeaseID // 0: none yet
}

// NewStoreRegistry needs nothing else.
func NewStoreRegistry(s store.Store) *StoreRegistry {
	return &StoreRegistry{store: s, leases: map[string]*nodeLease{}}
}

// workloadDocument is a document of kind Workload.
type workloadDocument struct {
	APIVersion string           `json:"apiVersion"`
	Kind       string           `json:"kind"`
	Metadata   workloadMetadata `json:"metadata"`
	Spec       workloadSpec     `json:"spec"`
}

type workloadMetadata struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
}

type workloadSpec struct {
	Account  string               `json:"account"`
	Node     string               `json:"node,omitempty"`
	Zone     string               `json:"zone,omitempty"` // as model.ParsePlace reads it
	Network  string               `json:"network,omitempty"`
	Address  string               `json:"address"`
	MeshPort uint16               `json:"meshPort,omitempty"`
	Ports    []model.WorkloadPort `json:"ports,omitempty"`
	State    model.WorkloadState  `json:"state,omitempty"`
	Weight   int                  `json:"weight,omitempty"`
	Passport []byte               `json:"passportKey,omitempty"`
}

// instanceOf is the part of a workload's name behind its namespace.
func instanceOf(namespace, name string) string { return strings.TrimPrefix(name, namespace+"/") }

func documentKey(namespace, name string) string {
	return documentsBelow + namespace + "/" + instanceOf(namespace, name)
}

func presentKey(node, namespace, account, name string) string {
	return presentBelow + node + "/" + namespace + "/" + account + "/" + instanceOf(namespace, name)
}

// Document writes a workload as a document of kind Workload, in JSON.
func Document(w *model.Workload) ([]byte, error) {
	zone := w.Place
	if zone.Network = ""; zone.Zone == "" {
		zone.Region = ""
	}
	// A service without a namespace is of the default one, and in a document of
	// that of the workload.
	ports := slices.Clone(w.Ports)
	for i := range ports {
		if s := ports[i].Service; !strings.Contains(s, "/") {
			ports[i].Service = model.DefaultNamespace + "/" + s
		}
	}
	return json.MarshalIndent(workloadDocument{
		APIVersion: "naru.dev/v1alpha1", Kind: "Workload",
		Metadata: workloadMetadata{w.Namespace, instanceOf(w.Namespace, w.Name)},
		Spec:     workloadSpec{w.Account, w.Node, zone.String(), w.Place.Network, w.Address, w.MeshPort, ports, w.State, w.Weight, w.PassportKey},
	}, "", "  ")
}

// lease gives the lease of a node, made where there is none. Its mu is held.
func (g *StoreRegistry) lease(ctx context.Context, node string) (*nodeLease, error) {
	g.mu.Lock()
	l := g.leases[node]
	if l == nil {
		l = &nodeLease{}
		g.leases[node] = l
	}
	g.mu.Unlock()
	l.mu.Lock()
	if l.id != 0 {
		return l, nil
	}
	id, err := g.store.Lease(ctx, cmp.Or(g.TTL, RegistrationTTL))
	if err != nil {
		l.mu.Unlock()
		return nil, err
	}
	l.id = id
	return l, nil
}

// Register implements Registry.
func (g *StoreRegistry) Register(ctx context.Context, node string, w *model.Workload) error {
	value, err := Document(w)
	if err != nil {
		return err
	}
	l, err := g.lease(ctx, node)
	if err != nil {
		return err
	}
	defer l.mu.Unlock()
	key := documentKey(w.Namespace, w.Name)
	for again := true; ; {
		cond, old, err := g.ours(ctx, key, node)
		if err != nil {
			return err
		}
		ops := []store.Op{{Key: key, Value: value, Lease: l.id}, {Key: presentKey(node, w.Namespace, w.Account, w.Name), Lease: l.id}}
		if old != nil && old.Spec.Account != w.Account {
			ops = append(ops, store.Op{Key: presentKey(node, w.Namespace, old.Spec.Account, w.Name), Delete: true})
		}
		_, done, err := g.store.Txn(ctx, []store.Cond{cond}, ops...)
		if errors.Is(err, store.ErrNotFound) && again {
			// The lease has ended: the node was at another replica meanwhile.
			again = false
			if l.id, err = g.store.Lease(ctx, cmp.Or(g.TTL, RegistrationTTL)); err == nil {
				continue
			}
			l.id = 0
		}
		if err != nil || done {
			return err
		}
	}
}

// ours gives the condition that a document is still as it was read: nobody's,
// or the node's.
func (g *StoreRegistry) ours(ctx context.Context, key, node string) (store.Cond, *workloadDocument, error) {
	item, err := g.store.Get(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		return store.Cond{Key: key}, nil, nil
	}
	if err != nil {
		return store.Cond{}, nil, err
	}
	var d workloadDocument
	if err := json.Unmarshal(item.Value, &d); err != nil || d.Spec.Node != node {
		// Also what a user wrote there by hand.
		return store.Cond{}, nil, fmt.Errorf("%w: %s is on %q", ErrTaken, strings.TrimPrefix(key, documentsBelow), d.Spec.Node)
	}
	return store.Cond{Key: key, Changed: item.Changed}, &d, nil
}

// Unregister implements Registry. What is not there is no error.
func (g *StoreRegistry) Unregister(ctx context.Context, node, namespace, name string) error {
	key := documentKey(namespace, name)
	for {
		cond, old, err := g.ours(ctx, key, node)
		if err != nil || old == nil {
			return err
		}
		_, done, err := g.store.Txn(ctx, []store.Cond{cond}, store.Op{Key: key, Delete: true},
			store.Op{Key: presentKey(node, namespace, old.Spec.Account, name), Delete: true})
		if err != nil || done {
			return err
		}
	}
}

// Renew implements Renewing.
func (g *StoreRegistry) Renew(node string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.leases, node) // whoever registers with it now has it still
}

// begun hears of the process that a node is. Of another one than before it keeps
// nothing that this does not register itself: what ended while there was no proxy
// nobody else can take away. s.mu is held.
func (s *Server) begun(node string, process uint64) {
	if process == 0 || process == s.processes[node] {
		return // of a naru before it said so, or the same
	}
	s.processes[node] = process
	if g, ok := s.options.Registry.(Renewing); ok {
		g.Renew(node)
	}
}

// Alive implements Registry.
func (g *StoreRegistry) Alive(ctx context.Context, node string) error {
	g.mu.Lock()
	l := g.leases[node]
	g.mu.Unlock()
	if l == nil {
		return nil // it has registered nothing here
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.id == 0 {
		return nil
	}
	err := g.store.KeepAlive(ctx, l.id)
	if errors.Is(err, store.ErrNotFound) {
		l.id = 0
		return err
	}
	if err != nil && ctx.Err() == nil {
		// The store is away: leases rest with it, and the node need not know.
		return nil
	}
	return err
}

// Present implements Registry.
func (g *StoreRegistry) Present(ctx context.Context, node, namespace, account string) (bool, error) {
	list, _, err := g.store.List(ctx, presentBelow+node+"/"+namespace+"/"+account+"/")
	return len(list) > 0, err
}

// Nodes lists the nodes that have joined, by name, with what they may have.
func Nodes(ctx context.Context, s store.Store) ([]Grant, error) {
	list, _, err := s.List(ctx, nodesBelow)
	if err != nil {
		return nil, err
	}
	out := make([]Grant, 0, len(list))
	for _, item := range list {
		var r nodeRecord
		if err := json.Unmarshal(item.Value, &r); err != nil {
			return nil, fmt.Errorf("%s: %w", item.Key, err)
		}
		r.Grant.Node = r.Name
		out = append(out, r.Grant)
	}
	slices.SortFunc(out, func(a, b Grant) int { return strings.Compare(a.Node, b.Node) })
	return out, nil
}

// RemoveNode makes a node a stranger: it gets nothing more, its streams end
// within a heartbeat, and its workloads are registered no more. What it has it
// keeps; its certificates are good until the authority forgets it, too
// (ca.Authority.Forget). store.ErrNotFound: there is no such node.
func RemoveNode(ctx context.Context, s store.Store, node string) error {
	item, err := s.Get(ctx, nodesBelow+node)
	if err != nil {
		return err
	}
	if _, _, err = s.Txn(ctx, []store.Cond{{Key: item.Key, Changed: item.Changed}}, store.Op{Key: item.Key, Delete: true}); err != nil {
		return err
	}
	// It can register nothing any more, so that what is listed now is all.
	present, _, err := s.List(ctx, presentBelow+node+"/")
	if err != nil {
		return err
	}
	for _, p := range present {
		part := strings.Split(strings.TrimPrefix(p.Key, presentBelow+node+"/"), "/") // namespace, account, name
		if len(part) != 3 {
			continue
		}
		if err := NewStoreRegistry(s).Unregister(ctx, node, part[0], part[2]); err != nil && !errors.Is(err, ErrTaken) {
			return err
		}
	}
	return nil
}
