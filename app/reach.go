package app

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/naru-mesh/naru/admin"
	"github.com/naru-mesh/naru/capture"
	"github.com/naru-mesh/naru/identity/attest"
	"github.com/naru-mesh/naru/mesh"
	"github.com/naru-mesh/naru/model"
)

// Bounds of local ports for services.
const (
	mostReach = 32 // of a workload
	// mostReached is of all workloads of a user who is not an administrator.
	mostReached = 200
)

// checkReach says what is wrong with the local ports that a wish is for.
func (n *node) checkReach(w *admin.Wish, by admin.Caller) error {
	if len(w.Reach) == 0 {
		return nil
	}
	if len(w.Reach) > mostReach {
		return fmt.Errorf("reach: %d services: a workload has local ports for at most %d", len(w.Reach), mostReach)
	}
	if _, err := tellable(by); err != nil {
		return fmt.Errorf("reach: this proxy cannot see whose connections come to a local port, for which it must be root or the workload's user: %w", err)
	}
	taken := map[string]string{}
	for i, r := range w.Reach {
		full := fmt.Sprintf("%s:%d", r.Name, r.Port)
		if len(r.Name) > 253 || slices.ContainsFunc(strings.Split(r.Name, "."), func(s string) bool { return noName("", s) != nil }) {
			return fmt.Errorf("reach %s: a service is called db, db.shop, or by another name that it has: lower case letters, digits, - and dots", full)
		}
		if r.Port == 0 {
			return fmt.Errorf("reach %s: write the service's port, for example db:5432", r.Name)
		}
		if other := taken[reachName(w.Reach, i)]; other != "" {
			return fmt.Errorf("reach %s and %s would be the same variable, %s", other, full, reachName(w.Reach, i))
		}
		taken[reachName(w.Reach, i)] = full
		if r.Local == 0 {
			continue
		}
		if slices.ContainsFunc(w.Reach[:i], func(o admin.WishReach) bool { return o.Local == r.Local }) {
			return fmt.Errorf("reach %s: local port %d is given twice", full, r.Local)
		}
		if n.ours(r.Local) && (r.Local < firstOutbound || r.Local > lastOutbound) {
			return fmt.Errorf("reach %s: local port %d is the proxy's own", full, r.Local)
		}
		if r.Local < firstUnprivileged && !n.administers(by) {
			return fmt.Errorf("reach %s: only the machine's administrator may take local ports below %d", full, firstUnprivileged)
		}
	}
	return nil
}

// tellable says how the connections of a workload are told from others': by its
// processes, or, where this proxy may not look into these (unseen), by its user.
// A user's programs may do to each other what they like, and each could start a
// workload of the same account, so that none of them gets anything by another's
// local port. An error: not at all.
func tellable(by admin.Caller) (unseen bool, err error) {
	err = attest.Visible(by.PID)
	if err == nil || !errors.Is(err, os.ErrPermission) {
		return false, err
	}
	if not := attest.ByUser(by.UID); not != nil {
		return true, fmt.Errorf("%w; and %w", err, not)
	}
	return true, nil
}

// takeReach gives the local ports of a wish to a resident. mu is held.
func (n *node) takeReach(r *resident) error {
	has := 0
	for _, other := range n.locals {
		if other.by.UID == r.by.UID {
			has += len(other.reach)
		}
	}
	if has+len(r.wish.Reach) > mostReached && !n.administers(r.by) {
		return fmt.Errorf("reach: user %s has %d local ports for services here, and %d are the most", userName(r.by.UID), has, mostReached)
	}
	if r.unseen, _ = tellable(r.by); r.unseen && len(r.wish.Reach) > 0 {
		r.about.Notes = append(r.about.Notes, fmt.Sprintf("this proxy may not look into the processes of user %s, so that all programs of that user may use the local ports (--reach)", userName(r.by.UID)))
	}
	for i, w := range r.wish.Reach {
		local, err := n.localPort(r, i)
		if err != nil {
			return err
		}
		r.reach = append(r.reach, mesh.Reach{Name: w.Name, Port: w.Port, Local: local})
	}
	return nil
}

// localPort finds the port of a resident's i-th service. mu is held.
func (n *node) localPort(r *resident, i int) (uint16, error) {
	w := r.wish.Reach[i]
	first, last := w.Local, w.Local
	if w.Local == 0 {
		first, last = firstOutbound, lastOutbound
	}
	p := unused(loopback.String(), first, last, func(p uint16) bool {
		return p == r.outbound || n.taken(p) || slices.ContainsFunc(r.reach, func(o mesh.Reach) bool { return o.Local == p }) ||
			w.Local == 0 && slices.ContainsFunc(r.wish.Reach, func(o admin.WishReach) bool { return o.Local == p }) ||
			n.cages != nil && n.cages.Taken(r.name, p)
	})
	switch {
	case p == 0 && w.Local == 0:
		return 0, fmt.Errorf("reach %s:%d: no local port is free", w.Name, w.Port)
	case p == 0:
		return 0, takenError(w)
	}
	return p, nil
}

func takenError(w admin.WishReach) error {
	return fmt.Errorf("reach %s:%d: local port %d is taken on this machine", w.Name, w.Port, w.Local)
}

// again gives a resident the door that it was told of when another proxy served
// it. Who had the port meanwhile may know the password by now, so that is not
// enough any more. mu is held.
func (n *node) again(r *resident) error {
	d := r.wish.Door
	_, unseen := tellable(r.by)
	switch {
	case d == nil:
		return nil
	case d.Port < firstOutbound || d.Port > lastOutbound || len(d.Pass) < 16 || len(d.Pass) > 64:
		return errors.New("door: it is not one that this proxy has given")
	case unseen != nil:
		r.about.Notes = append(r.about.Notes, "the proxy has begun anew, and cannot see whose connections come: start the workload again, so that it is told the new password")
		return nil
	case d.Port != r.outbound && (n.taken(d.Port) || unused(loopback.String(), d.Port, d.Port, nil) == 0):
		return fmt.Errorf("door: port %d is taken", d.Port)
	}
	r.outbound, r.pass, r.own = d.Port, d.Pass, true
	return nil
}

// shut gives the ports of a resident, and of the door for plaintext to it, that
// another program has taken since they were chosen. Where it can have no others that is an error.
func (n *node) shut(r *resident) (ports []uint16, err error) {
	if n.inbound == nil {
		return nil, nil // nothing listens here
	}
	if !n.isOpen(r) {
		if r.own {
			return nil, fmt.Errorf("door: port %d is taken", r.outbound)
		}
		ports = append(ports, r.outbound)
	}
	if r.method == capture.EBPF && len(r.ports) > 0 {
		n.mu.Lock()
		plain := n.plain
		n.mu.Unlock()
		if len(n.inbound(plain)) == 0 { // without it who is not in the mesh is refused
			ports = append(ports, plain)
		}
	}
	for i, to := range r.reach {
		if len(n.inbound(to.Local)) > 0 {
			continue
		}
		if w := r.wish.Reach[i]; w.Local != 0 {
			return nil, takenError(w)
		}
		ports = append(ports, to.Local)
	}
	return ports, nil
}

// move gives a resident others in place of ports that are shut. mu is held.
func (n *node) move(r *resident, shut []uint16) (err error) {
	if slices.Contains(shut, r.outbound) {
		if r.outbound, err = n.freePort(r.name); err != nil {
			return err
		}
		r.placed = false
	}
	if slices.Contains(shut, n.plain) { // else another resident has moved it
		if err := n.freePlain(); err != nil {
			return err
		}
	}
	r.reach = slices.Clone(r.reach) // the lowering may have the one from before
	for i := range r.reach {
		if slices.Contains(shut, r.reach[i].Local) {
			if r.reach[i].Local, err = n.localPort(r, i); err != nil {
				return err
			}
		}
	}
	return nil
}

// taken says whether a port is that of somebody's door, or one that a workload
// serves. mu is held.
func (n *node) taken(p uint16) bool {
	for _, r := range n.locals {
		if r.outbound == p || slices.ContainsFunc(r.reach, func(o mesh.Reach) bool { return o.Local == p }) ||
			slices.ContainsFunc(r.ports, func(o model.WorkloadPort) bool { return o.Port == p }) {
			return true
		}
	}
	return false
}

// toldOfReach tells a resident where its local ports are, and for which there is no
// service yet.
func (r *resident) toldOfReach() {
	n := r.node
	n.mu.Lock()
	defer n.mu.Unlock()
	domain := model.DefaultMeshDomain
	if n.known != nil && n.known.Mesh != nil {
		domain = cmp.Or(n.known.Mesh.Domain, domain)
	}
	for i, to := range r.reach {
		r.about.Reach = append(r.about.Reach, admin.WishReach{Name: to.Name, Port: to.Port, Local: to.Local})
		r.about.Env = append(r.about.Env, fmt.Sprintf("%s=127.0.0.1:%d", reachName(r.wish.Reach, i), to.Local))
		if n.known == nil || !slices.ContainsFunc(n.known.Services, func(s *model.Service) bool { return means(s, to, r.wish.Namespace, domain) }) {
			note := fmt.Sprintf("there is no service %s:%d yet: connections to 127.0.0.1:%d are refused until there is", to.Name, to.Port, to.Local)
			if n.known != nil {
				note += otherPorts(n.known.Services, to, r.wish.Namespace, domain)
			}
			r.about.Notes = append(r.about.Notes, note)
		}
	}
}

// otherPorts says at which ports what a workload wants is called instead; "":
// there is nothing of that name.
func otherPorts(all []*model.Service, to mesh.Reach, namespace, domain string) string {
	var ports []string
	for _, s := range all {
		if s.Mesh == nil {
			continue
		}
		other := to
		if other.Port = s.Mesh.Port; means(s, other, namespace, domain) {
			ports = append(ports, strconv.Itoa(int(s.Mesh.Port)))
		}
	}
	if len(ports) == 0 {
		return ""
	}
	return fmt.Sprintf("; %s is called at port %s: did you mean %s:%s?", to.Name, strings.Join(ports, ", "), to.Name, ports[0])
}

// means says whether a service is what a workload of a namespace calls so.
func means(s *model.Service, to mesh.Reach, namespace, domain string) bool {
	if s.Mesh == nil || s.Mesh.Port != to.Port {
		return false
	}
	full := s.Mesh.Host + "." + cmp.Or(s.Mesh.Namespace, model.DefaultNamespace)
	return to.Name == full || to.Name == full+"."+domain || to.Name+"."+namespace == full || slices.Contains(s.Mesh.Names, to.Name)
}

// reachName is the variable that tells where a service is reached: NARU_REACH_
// and its name; that of a second port of the same name ends with the port.
func reachName(all []admin.WishReach, i int) string {
	name := "NARU_REACH_" + strings.ToUpper(strings.NewReplacer("-", "_", ".", "_").Replace(all[i].Name))
	if slices.ContainsFunc(all[:i], func(o admin.WishReach) bool { return o.Name == all[i].Name }) {
		name += "_" + strconv.Itoa(int(all[i].Port))
	}
	return name
}
