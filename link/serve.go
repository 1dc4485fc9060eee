package link

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/naru-mesh/naru/identity"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/store"
)

// serviceName is the gRPC service.
const serviceName = "naru.link.v1.Link"

// serviceDesc is what a generator would have written.
var serviceDesc = grpc.ServiceDesc{
	ServiceName: serviceName,
	HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{
		unary("Join", (*Server).join),
		unary("Sign", (*Server).sign),
		unary("SignJWT", (*Server).signJWT),
		unary("Register", (*Server).register),
		unary("Unregister", (*Server).unregister),
		unary("Report", (*Server).report),
		unary("Settle", (*Server).settle),
	},
	Streams: []grpc.StreamDesc{{
		StreamName: "Follow", ServerStreams: true, ClientStreams: true,
		Handler: func(s any, stream grpc.ServerStream) error { return s.(*Server).follow(stream) },
	}},
}

func unary[Q, A any](name string, call func(*Server, context.Context, *Q) (*A, error)) grpc.MethodDesc {
	return grpc.MethodDesc{MethodName: name, Handler: func(s any, ctx context.Context, read func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		q := new(Q)
		if err := read(q); err != nil {
			return nil, err
		}
		return call(s.(*Server), ctx, q)
	}}
}

// why is why somebody was refused, for the metric.
type why int

const (
	whyToken       why = iota // wrong
	whyExpired                // token has expired
	whyUsed                   // token was used
	whyName                   // name is not that of the token or certificate, or taken
	whyCertificate            // certificate is foreign, forged or expired
	whyUnknownNode            // node has not joined, or was removed
	whyIdentity               // identity of nobody on the node
	whyGrant                  // workload that the node may not have
	whyAddress                // workload at an address that is not its node's
	whyCSR                    // CSR whose signature is wrong
	whyProxies                // too many proxies
	whyStore                  // the store is away
	whys
)

var whyNames = [whys]string{"wrong_token", "expired_token", "used_token", "node_name", "certificate", "unknown_node", "identity", "grant", "address", "csr", "too_many", "store"}

// refuse counts and logs a refusal, with who and why.
func (s *Server) refuse(w why, who ...any) {
	s.counts.refused[w].Add(1)
	s.log.Warn("link: refused", append([]any{"why", whyNames[w]}, who...)...)
}

func (s *Server) denied(code codes.Code, w why, c caller, err error, more ...any) error {
	who := []any{"from", c.address, "err", err}
	if c.node != "" {
		who = append(who, "node", c.node)
	}
	s.refuse(w, append(who, more...)...)
	return status.Error(code, status.Convert(err).Message())
}

// IsNodeName says whether a machine may be called so: it becomes a part of a
// SPIFFE ID and of keys.
func IsNodeName(s string) bool {
	if s == "" || len(s) > 253 || s == "." || s == ".." {
		return false
	}
	for _, c := range []byte(s) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '-', c == '_':
		default:
			return false
		}
	}
	return true
}

// join admits a node, by a token or by a certificate.
func (s *Server) join(ctx context.Context, q *joinRequest) (*joinResponse, error) {
	select {
	case s.joining <- struct{}{}:
		defer func() { <-s.joining }()
	case <-ctx.Done():
		return nil, status.FromContextError(ctx.Err()).Err()
	}
	c, err := s.from(ctx)
	if err != nil {
		return nil, s.denied(codes.Unauthenticated, whyCertificate, c, err)
	}
	if l := s.limited.Load(); l != nil {
		return nil, s.denied(codes.FailedPrecondition, whyStore, c, unavailable(l.err), "node", q.Node)
	}
	if !IsNodeName(q.Node) {
		return nil, s.denied(codes.InvalidArgument, whyName, c, fmt.Errorf("%q is no name for a node: letters, digits, dots, dashes and underscores", q.Node))
	}
	key, err := keyOf(q.CSR)
	if err != nil {
		return nil, s.denied(codes.InvalidArgument, whyCSR, c, err, "node", q.Node)
	}
	var use func(since time.Time) error
	switch {
	case len(q.Token) > 0:
		item, record, err := s.checkToken(ctx, q.Token, q.Node, key)
		if err != nil {
			return nil, s.joinDenied(c, q.Node, err)
		}
		use = func(since time.Time) error { return s.useToken(ctx, item, record, q.Node, key, since) }
	case c.joiner != nil:
		name := c.leaf.Subject.CommonName
		if name == "" && len(c.leaf.DNSNames) > 0 {
			name = c.leaf.DNSNames[0]
		}
		if ok, _ := path.Match(c.joiner.Grant.Node, name); !ok || name != q.Node {
			return nil, s.joinDenied(c, q.Node, fmt.Errorf("%w: the certificate is for %q", errNodeName, name))
		}
		grant := c.joiner.Grant
		grant.Node = name // the certificate proves the name: it may come back
		record := nodeRecord{Name: name, Grant: grant, Joined: s.options.Now().UTC(), By: c.leaf.Subject.String()}
		use = func(since time.Time) error {
			record.Since = since
			return s.admit(ctx, record, nil, errNodeTaken)
		}
	default:
		return nil, s.joinDenied(c, q.Node, errUnknownToken)
	}
	// Signed first and handed out only to the one that wins: a token that was
	// used up for nothing would have to be made again by hand.
	chain, err := s.options.Authority.SignX509(identity.ForMachine(ctx, q.Node), NodeID(s.options.TrustDomain, q.Node), q.CSR, nodeLife)
	if err != nil {
		return nil, s.signFailed(c, err, "node", q.Node)
	}
	leaf, _, err := parseChain(chain)
	if err != nil {
		return nil, unavailable(err)
	}
	if err := use(leaf.NotBefore); err != nil {
		return nil, s.joinDenied(c, q.Node, err)
	}
	s.counts.joined.Add(1)
	s.log.Info("link: a node has joined", "node", q.Node, "from", c.address)
	return &joinResponse{Chain: chain, TrustDomain: s.options.TrustDomain, Bundles: s.bundles.Load().wire}, nil
}

func (s *Server) joinDenied(c caller, node string, err error) error {
	w := whyToken
	switch {
	case errors.Is(err, errExpiredToken):
		w = whyExpired
	case errors.Is(err, errUsedToken):
		w = whyUsed
	case errors.Is(err, errNodeName), errors.Is(err, errNodeTaken):
		w = whyName
	case !errors.Is(err, errUnknownToken):
		return unavailable(err)
	}
	return s.denied(codes.PermissionDenied, w, c, err, "node", node)
}

// signFailed tells a wrong CSR from an authority that does not work.
func (s *Server) signFailed(c caller, err error, more ...any) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, store.ErrUnavailable) {
		return unavailable(err)
	}
	return s.denied(codes.InvalidArgument, whyCSR, c, err, more...)
}

// mayHave says whether a node may have an identity: its own, or that of a
// workload that is registered on it and that it may have still.
func (s *Server) mayHave(ctx context.Context, c caller, g *Grant, id identity.ID) error {
	if id == NodeID(s.options.TrustDomain, c.node) {
		return nil
	}
	namespace, account, ok := id.Workload()
	if ok = ok && id.TrustDomain() == s.options.TrustDomain && g.allowsWorkload(namespace, account); ok {
		var err error
		if ok, err = s.options.Registry.Present(ctx, c.node, namespace, account); err != nil {
			return unavailable(err)
		}
	}
	if !ok {
		return s.denied(codes.PermissionDenied, whyIdentity, c, fmt.Errorf("no workload with identity %s is registered on node %s", id, c.node), "id", id)
	}
	return nil
}

func (s *Server) sign(ctx context.Context, q *signRequest) (*signResponse, error) {
	c, record, err := s.node(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.mayHave(ctx, c, &record.Grant, identity.ID(q.ID)); err != nil {
		return nil, err
	}
	chain, err := s.options.Authority.SignX509(identity.ForMachine(ctx, c.node), identity.ID(q.ID), q.CSR, time.Duration(q.TTL))
	if err != nil {
		return nil, s.signFailed(c, err, "id", q.ID)
	}
	if leaf, _, err := parseChain(chain); err != nil || !record.began(leaf) && identity.ID(q.ID) == NodeID(s.options.TrustDomain, c.node) {
		// It would be refused, and what the node has is good.
		return nil, unavailable(cmp.Or(err, errors.New("the clock of this control plane is behind that of the one by which the node has joined")))
	}
	s.counts.signed.Add(1)
	return &signResponse{Chain: chain}, nil
}

func (s *Server) signJWT(ctx context.Context, q *signRequest) (*signResponse, error) {
	c, record, err := s.node(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.mayHave(ctx, c, &record.Grant, identity.ID(q.ID)); err != nil {
		return nil, err
	}
	if len(q.Audience) == 0 {
		return nil, status.Error(codes.InvalidArgument, "a JWT-SVID needs an audience")
	}
	token, err := s.options.Authority.SignJWT(ctx, identity.ID(q.ID), q.Audience, time.Duration(q.TTL))
	if err != nil {
		return nil, unavailable(err)
	}
	s.counts.signed.Add(1)
	return &signResponse{Token: token}, nil
}

func (s *Server) register(ctx context.Context, q *registerRequest) (*empty, error) {
	c, record, err := s.node(ctx)
	if err != nil {
		return nil, err
	}
	w := q.Workload
	if err := checkWorkload(w); err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	if len(w.PassportKey) > 0 && !record.Grant.Gateway { // it says who clients are
		return nil, s.notGranted(ctx, whyGrant, c, w, fmt.Errorf("node %s is no gateway; where that is right write on the control plane: naru token grant --node %s --gateway", c.node, c.node))
	}
	if !record.Grant.allowsWorkload(w.Namespace, w.Account) {
		return nil, s.notGranted(ctx, whyGrant, c, w, fmt.Errorf("node %s may not have workloads of namespace %s, account %s; where that is right write on the control plane: naru token grant --node %s --account %s/%s",
			c.node, w.Namespace, w.Account, c.node, w.Namespace, w.Account))
	}
	if err := s.mayServe(&record.Grant, w); err != nil {
		return nil, s.notGranted(ctx, whyGrant, c, w, fmt.Errorf("node %s: %w", c.node, err))
	}
	if err := s.checkAddress(c, &record.Grant, w); err != nil {
		return nil, s.notGranted(ctx, whyAddress, c, w, err)
	}
	w.Node = c.node
	s.mu.Lock()
	s.begun(c.node, q.Process) // its stream may come later
	s.mu.Unlock()
	switch err := s.options.Registry.Register(ctx, c.node, w); {
	case errors.Is(err, ErrTaken):
		return nil, s.notGranted(ctx, whyGrant, c, w, err)
	case err != nil:
		return nil, unavailable(err)
	}
	s.counts.registered.Add(1)
	s.claimed(c.node, w, "")
	return &empty{}, nil
}

// notGranted refuses a workload, and shows it in the status of its node until
// one of the account is registered. A node that tries again and again is logged once.
// What was registered before stays no longer.
func (s *Server) notGranted(ctx context.Context, why why, c caller, w *model.Workload, err error) error {
	if gone := s.options.Registry.Unregister(ctx, c.node, w.Namespace, instanceOf(w.Namespace, w.Name)); gone != nil && !errors.Is(gone, ErrTaken) {
		return unavailable(gone)
	}
	if s.claimed(c.node, w, err.Error()) {
		return s.denied(codes.PermissionDenied, why, c, err, "workload", w.Name)
	}
	s.counts.refused[why].Add(1)
	return status.Error(codes.PermissionDenied, err.Error())
}

// deniedFor is how long a refusal stands in the status when it is not repeated:
// whoever was refused may have given up.
const deniedFor = 10 * time.Minute

// claimed remembers why workloads of an account of a node that is connected
// here are refused; "": they are not any more. It says whether that is news.
func (s *Server) claimed(node string, w *model.Workload, refused string) bool {
	s.mu.Lock()
	x := s.sessions[node]
	s.mu.Unlock()
	if x == nil {
		return true
	}
	account, now := w.Namespace+"/"+w.Account, s.options.Now()
	x.mu.Lock()
	defer x.mu.Unlock()
	before := x.denied[account]
	switch {
	case refused == "":
		delete(x.denied, account)
	case before.Why != "" || len(x.denied) < mostRefusals:
		if x.denied == nil {
			x.denied = map[string]Denial{}
		}
		x.denied[account] = Denial{Account: account, Why: refused, At: now}
	}
	return before.Why != refused
}

// mayServe says whether a node may have a workload that serves what w does:
// whoever is an instance of a service gets what others send to it.
func (s *Server) mayServe(g *Grant, w *model.Workload) error {
	for _, p := range w.Ports {
		namespace, host, _ := model.HostOf(p.Service)
		if m := s.catalog.mesh(p.Service); m != nil {
			namespace, host = m.Namespace, m.Host
		}
		if !g.allows(namespace, host) {
			return fmt.Errorf("it may not serve service %s of namespace %s; where that is right write on the control plane: naru token grant --node %s --account %s/%s", host, namespace, g.Node, namespace, host)
		}
	}
	return nil
}

// Bounds of a workload, as package model has them.
const (
	mostWeight = 1_000_000
	mostPorts  = 1000
)

// goodPlace says whether what is known of a place are names.
func goodPlace(p model.Place) bool {
	for _, name := range [...]string{p.Region, p.Zone, p.Network} {
		if name != "" && !model.IsPlaceName(name) {
			return false
		}
	}
	return true
}

// checkWorkload refuses what could not be told from something else later.
func checkWorkload(w *model.Workload) error {
	if w == nil {
		return errors.New("there is no workload")
	}
	// As parts of its name in a handshake, where case does not count, they must not be another's.
	for _, part := range []struct{ what, value string }{{"namespace", w.Namespace}, {"account", w.Account}, {"name", instanceOf(w.Namespace, w.Name)}} {
		if !model.IsLabel(part.value) {
			return fmt.Errorf("workload %q: %q is no %s: lower case letters, digits and -, at most 63", w.Name, part.value, part.what)
		}
	}
	if at, err := netip.ParseAddr(w.Address); err != nil || at.Zone() != "" || at.IsUnspecified() || at.IsMulticast() {
		return fmt.Errorf("workload %q: %q is no IP address that others can reach", w.Name, w.Address)
	}
	switch {
	case w.Weight < 0 || w.Weight > mostWeight:
		return fmt.Errorf("workload %q: the weight %d is not from 0 to %d", w.Name, w.Weight, mostWeight)
	case !goodPlace(w.Place):
		return fmt.Errorf("workload %q: %q is no place", w.Name, w.Place.String())
	case len(w.Ports) > mostPorts:
		return fmt.Errorf("workload %q: %d ports are more than %d", w.Name, len(w.Ports), mostPorts)
	}
	for _, p := range w.Ports {
		switch p.Protocol {
		case model.AppDetect, model.AppHTTP, model.AppGRPC, model.AppTCP:
		default:
			return fmt.Errorf("workload %q: %q is no protocol", w.Name, p.Protocol)
		}
		if p.Port == 0 || p.Service == "" {
			return fmt.Errorf("workload %q: it serves %q on port %d", w.Name, p.Service, p.Port)
		}
	}
	switch w.State {
	case model.Serving, model.Unhealthy, model.Draining:
	default:
		return fmt.Errorf("workload %q: %q is no state", w.Name, w.State)
	}
	return nil
}

func (s *Server) unregister(ctx context.Context, q *registerRequest) (*empty, error) {
	c, _, err := s.node(ctx)
	if err != nil {
		return nil, err
	}
	if q.Workload == nil || !IsNodeName(q.Workload.Namespace) || !IsNodeName(instanceOf(q.Workload.Namespace, q.Workload.Name)) {
		return nil, status.Error(codes.InvalidArgument, "there is no workload of that name")
	}
	switch err := s.options.Registry.Unregister(ctx, c.node, q.Workload.Namespace, q.Workload.Name); {
	case errors.Is(err, ErrTaken):
		return nil, s.denied(codes.PermissionDenied, whyGrant, c, err, "workload", q.Workload.Name)
	case err != nil:
		return nil, unavailable(err)
	}
	return &empty{}, nil
}
