package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os/user"
	"strconv"
	"strings"

	"github.com/naru-mesh/naru/admin"
	"github.com/naru-mesh/naru/identity/attest"
	"github.com/naru-mesh/naru/model"
)

// Bounds of what one may ask for.
const (
	mostPorts = 64
	// mostWorkloads is of a user who is not an administrator: the doors of a
	// machine are for all.
	mostWorkloads = 100
	// mostWeight is as package model has it.
	mostWeight = 1_000_000
	// firstUnprivileged is the first port that anybody may serve, as systems
	// have it unless they are told otherwise.
	firstUnprivileged = 1024
)

// noName is why a name cannot be part of an identity or of a DNS name.
func noName(what, name string) error {
	ok := name != "" && len(name) <= 63 && name[0] != '-' && name[len(name)-1] != '-'
	for _, c := range []byte(name) {
		ok = ok && (c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-')
	}
	if !ok {
		return fmt.Errorf("%s %q: write lower case letters, digits and -, at most 63", what, name)
	}
	return nil
}

// check says what is wrong with a wish, whose defaults are filled in: the
// socket is open to every user, so nothing of it is believed.
func (n *node) check(w *admin.Wish, by admin.Caller) error {
	for _, is := range [...][2]string{{"namespace", w.Namespace}, {"account", w.Account}, {"instance", w.Instance}} {
		if err := noName(is[0], is[1]); err != nil {
			return err
		}
	}
	if !n.administers(by) && accountOf(w.Instance) != w.Account {
		return fmt.Errorf("instance %q: call it %s-NAME, after its account, NAME being letters and digits: %s-1", w.Instance, w.Account, w.Account)
	}
	switch w.Capture {
	case "", "auto", "transparent", "explicit", "off":
	default:
		return fmt.Errorf("capture %q: it is auto, transparent, explicit or off", w.Capture)
	}
	switch h := w.Health; {
	case h == "", h == "tcp", h == "none", strings.HasPrefix(h, "/"):
	default:
		return fmt.Errorf("health %q: it is tcp, none, or a path such as /healthz", h)
	}
	if w.Weight < 0 || w.Weight > mostWeight {
		return fmt.Errorf("weight %d: write 0 to %d", w.Weight, mostWeight)
	}
	if len(w.Ports) > mostPorts {
		return fmt.Errorf("%d ports: a workload has at most %d", len(w.Ports), mostPorts)
	}
	if err := n.may(by, w.Namespace, w.Account, "account"); err != nil {
		return err
	}
	for _, p := range w.Ports {
		if err := n.checkPort(w, p, by); err != nil {
			return err
		}
	}
	return n.checkReach(w, by)
}

// accountOf is the one account whose users may call an instance so: what stands
// before the last -, and all of it where there is none. a-b-1 is a name for
// account a-b alone, and not for a: nobody takes a name that another one's
// instance has had, is kept from coming back under it, or is served what was left
// standing for it.
func accountOf(instance string) string {
	if i := strings.LastIndexByte(instance, '-'); i >= 0 {
		return instance[:i]
	}
	return instance
}

func (n *node) checkPort(w *admin.Wish, p admin.WishPort, by admin.Caller) error {
	switch model.AppProtocol(p.Protocol) {
	case model.AppDetect, model.AppHTTP, model.AppGRPC, model.AppTCP:
	default:
		return fmt.Errorf("port %d: protocol %q: it is http, grpc or tcp", p.Port, p.Protocol)
	}
	if p.Port == 0 {
		return fmt.Errorf("port 0: write one from 1 to 65535")
	}
	if n.ours(p.Port) {
		return fmt.Errorf("port %d is the proxy's own", p.Port)
	}
	// What comes to a workload's port is brought to the workload: its clients
	// would be cut off from what listens there.
	if n.front != nil {
		if what := n.front(p.Port); what != "" {
			return fmt.Errorf("port %d is the proxy's own: %s is there; have the service listen on another", p.Port, what)
		}
	}
	service := cmp.Or(p.Service, w.Service)
	if err := noName("service", service); err != nil {
		return err
	}
	// Whoever is an instance of a service gets what others send to it.
	if err := n.may(by, w.Namespace, service, "service"); err != nil {
		return err
	}
	if n.administers(by) {
		return nil
	}
	// What comes to a workload's port comes to the proxy from then on, also what
	// was meant for another's program.
	if p.Port < firstUnprivileged {
		return fmt.Errorf("port %d: only the machine's administrator may serve ports below %d", p.Port, firstUnprivileged)
	}
	if uid, ok := listensElse(p.Port, by.UID); ok {
		return fmt.Errorf("port %d is served by a program of user %s already", p.Port, userName(uid))
	}
	return nil
}

// ours says whether a port is one of this process's.
func (n *node) ours(port uint16) bool {
	switch {
	case port == n.opt.MeshPort, port >= firstPlain && port <= lastPlain, port >= firstLowDNS && port <= lastLowDNS, port >= dnsPort && port < dnsPort+dnsPorts, port >= firstOutbound && port <= lastOutbound:
		return true
	}
	_, text, err := net.SplitHostPort(n.opt.Listen)
	return err == nil && text == strconv.Itoa(int(port))
}

func (n *node) administers(by admin.Caller) bool { return by.UID == 0 || int(by.UID) == n.opt.uid }

// Renew implements admin.Workloads.
func (n *node) Renew(ctx context.Context, by admin.Caller) (int, error) {
	if !n.administers(by) {
		return 0, errors.New("only root and the user who runs the proxy may have certificates replaced")
	}
	return n.agent.RenewAll(ctx)
}

// may says whether a user of the machine may run workloads of an account, and
// instances of a service of that name. The machine's administrator and whoever
// runs the proxy may have all; others what has their own name in namespace
// default, and what is given to them.
func (n *node) may(by admin.Caller, namespace, name, what string) error {
	if n.administers(by) {
		return nil
	}
	who, uid := userName(by.UID), strconv.Itoa(int(by.UID))
	full := model.ServiceName(namespace, name)                                              // as it is called elsewhere
	if who == name && namespace == model.DefaultNamespace && name != model.GatewayAccount { // who is called so does not sign passports
		return nil
	}
	for _, a := range n.opt.Allow {
		given, to, _ := strings.Cut(a, "=")
		if (given == who || given == uid) && (to == full || to == namespace+"/"+name || to == "*") {
			return nil
		}
	}
	return fmt.Errorf("user %s may not run workloads of %s %s: start the proxy with --allow %s=%s, or use one of the user's own name", who, what, full, who, full)
}

// userName is that of a user, or the number where it has none.
func userName(uid uint32) string {
	text := strconv.FormatUint(uint64(uid), 10)
	if u, err := user.LookupId(text); err == nil {
		return u.Username
	}
	return text
}

// listensElse says whether a program of another user than uid listens on a TCP
// port of this machine.
func listensElse(port uint16, uid uint32) (uint32, bool) {
	for _, whose := range attest.UsersOf(port) {
		if whose != uid {
			return whose, true
		}
	}
	return 0, false
}
