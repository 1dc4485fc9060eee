package cli

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/naru-mesh/naru/admin"
	"github.com/naru-mesh/naru/app"
	"github.com/naru-mesh/naru/model"
)

// meshFlags are those of a process that is part of a mesh.
func meshFlags(f *pflag.FlagSet, o *app.MeshOptions) {
	f.StringVar(&o.Data, "data", "", "`folder` for what must outlive the process: identities, registrations (default none: kept in memory)")
	f.StringVar(&o.SealKey, "seal-key", "", "`file` with the key that private keys in --data are sealed with (default: one that is made there)")
	f.StringVar(&o.Node, "node", "", "this machine's `name` in the mesh (default: its host name)")
	f.StringVar(&o.Address, "address", "", "`IP` address at which others reach this machine's workloads (default: that from which it reaches its control plane, that of its default route, or the only one that it has); others than that it connects from have to be granted")
}

// nodeFlags are those of a process that serves workloads.
func nodeFlags(f *pflag.FlagSet, o *app.MeshOptions) {
	f.StringVar(&o.Bind, "bind", "", "`IP` address of this machine on which the mesh port listens (default --address): where others reach it at another, behind NAT")
	f.Uint16Var(&o.MeshPort, "mesh-port", 0, "`port` for mutual TLS between proxies (default 15008)")
	f.StringVar(&o.Zone, "zone", "", "`ZONE` or REGION/ZONE where this machine is: endpoints near it go first, and its workloads are known to be there (default: not known, endpoints are alike)")
	f.StringVar(&o.Network, "network", "", "`name` of the set of machines that reach this one's addresses: endpoints of other networks go last, through the gateways that the mesh names for these (default: not known)")
	f.StringVar(&o.Socket, "socket", "", "where naru exec meets this process (default "+admin.DefaultSocket+", for others than root below XDG_RUNTIME_DIR, or naru-UID where temporary files are)")
	f.StringVar(&o.Capture, "capture", "", "how workloads' traffic is captured: auto (the default: the best that the machine allows), ebpf or nftables (or fail), or off (by environment only)")
	f.StringVar(&o.Scope, "capture-scope", "", "`name` of what traffic is captured with, another for each proxy of a machine (default naru)")
	f.StringArrayVar(&o.Allow, "allow", nil, "`USER=ACCOUNT` or USER=NAMESPACE/ACCOUNT that a user of this machine may run workloads and serve a service of, besides that of his own name in namespace default; USER=* for all")
}

// planeFlags are those of a process that is a control plane.
func planeFlags(f *pflag.FlagSet, o *app.MeshOptions) {
	f.StringVar(&o.ControlSocket, "control-socket", "", "where naru token and naru status meet this process (default "+admin.DefaultPlaneSocket+", for others than root below XDG_RUNTIME_DIR, or naru-UID where temporary files are)")
	f.DurationVar(&o.CertificateLife, "certificate-life", 24*time.Hour, "for how long workloads' certificates are good; they are renewed after half of it")
	f.StringVar(&o.Given.ChainFile, "ca-cert", "", "`file` with the certificate of an authority of your own that signs in place of naru's, in PEM, and with those above it")
	f.StringVar(&o.Given.KeyFile, "ca-key", "", "`file` with its key")
	f.StringVar(&o.Given.RootsFile, "ca-roots", "", "`file` with the roots that are published (default: the last certificate of --ca-cert)")
	f.DurationVar(&o.Lease, "lease", 30*time.Second, "for how long a workload stays known when its machine is not heard of")
	f.StringVar(&o.BundleListen, "bundle-listen", "", "`address` at which other trust domains get our bundle, for example 0.0.0.0:8443; it shows spiffe://TRUSTDOMAIN/bundle (default: none do)")
	f.StringVar(&o.Join.CA, "join-ca", "", "`file` with an authority's roots, in PEM, by whose certificates nodes may join instead of a token")
	f.StringVar(&o.Join.Nodes, "join-nodes", "", "`pattern` of the names that they may have (default *); the name is the certificate's common name, or first DNS name")
	f.StringSliceVar(&o.Join.Namespaces, "join-namespace", nil, "`namespaces` all of whose workloads may run on them, or those of --join-account")
	f.StringSliceVar(&o.Join.Accounts, "join-account", nil, "`accounts` that workloads there may have, and serve services called so: orders, or shop/orders of namespace shop")
	f.BoolVar(&o.Join.Any, "join-any", false, "workloads of every account of every namespace may run on them")
	f.StringSliceVar(&o.Join.Addresses, "join-address", nil, "`addresses` or networks at which they may have workloads besides the address that they connect from")
	f.StringArrayVar(&o.State.Etcd, "etcd", nil, "`URL` of an etcd outside that keeps the state, again for each member; control planes that share it serve the same mesh")
	f.StringVar(&o.State.EtcdFiles.Cert, "etcd-cert", "", "`file` with the certificate that --etcd is shown, in PEM")
	f.StringVar(&o.State.EtcdFiles.Key, "etcd-key", "", "`file` with its key")
	f.StringVar(&o.State.EtcdFiles.CA, "etcd-ca", "", "`file` with who may have signed the certificates of --etcd (default: the system's)")
	f.StringSliceVar(&o.State.Peers, "peer", nil, "`NAME=URL` of a control plane that keeps the state together with others, again for each, this one (--node) too, for example plane-1=https://10.0.0.1:2380")
	f.StringVar(&o.State.PeerFiles.Cert, "peer-cert", "", "`file` with the certificate that peers are shown, in PEM")
	f.StringVar(&o.State.PeerFiles.Key, "peer-key", "", "`file` with its key")
	f.StringVar(&o.State.PeerFiles.CA, "peer-ca", "", "`file` with who may have signed the certificates of peers")
	f.StringVar(&o.State.PeerListen, "peer-listen", "", "`address` for peers (default: that of the own URL)")
	f.BoolVar(&o.State.Join, "peer-join", false, "the peers run already, and expect this one")
	f.StringArrayVar(&o.Advertise, "advertise", nil, "`HOST:PORT` that tokens name for nodes to join at (default: --address and the port that is listened on)")
}

func newNode() *cobra.Command {
	var (
		opt   app.Options
		level string
	)
	c := &cobra.Command{
		Use:   "node --join TOKEN | --control HOST:PORT [--credential CERT,KEY --root-hash HASH]",
		Short: "Serve this machine's workloads: one proxy for all of them",
		Long: `node joins a control plane and serves the workloads that naru exec runs on this
machine, each with its own identity. The token is needed once; with --data the
identity and the last good configuration are kept, so that the proxy starts and
serves without a control plane.

With --gateway it serves the listeners and routes of the configuration, too, as
naru run does on the control plane's machine. Its token must say so.`,
		Example: `  naru token create --node web-1 --account orders     on the control plane
  naru node --join naru1.... --data /var/lib/naru
  naru token create --node edge-1 --gateway           on the control plane
  naru node --join naru1.... --data /var/lib/naru --gateway
  naru node --control plane:15012 --credential node.pem,node.key --root-hash 7e5a...`,
		Args: argc(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if opt.Mesh.Token == "" && len(opt.Mesh.Control) == 0 && opt.Mesh.Data == "" {
				return usage{fmt.Errorf("which control plane? --join TOKEN (naru token create, on the control plane, prints one)")}
			}
			if err = opt.Mesh.Check(); err != nil {
				return usage{err}
			}
			if opt.Log, err = logger(cmd.ErrOrStderr(), level, opt.JSON); err != nil {
				return err
			}
			opt.Out = cmd.OutOrStdout()
			if opt.Drain == 0 {
				opt.Drain = -1
			}
			unheard()
			return app.RunNode(cmd.Context(), opt)
		},
	}
	f := c.Flags()
	f.BoolVar(&opt.Mesh.Gateway, "gateway", false, "serve the listeners and routes of the configuration, too: the token, or naru token grant, must have --gateway")
	f.StringVar(&opt.Mesh.Token, "join", "", "`token` of naru token create; used once")
	f.StringVar(&opt.Mesh.Credential, "credential", "", "`CERT,KEY` to join with instead of a token: files of a certificate for this node by an authority that the control plane knows (--join-ca)")
	f.StringVar(&opt.Mesh.RootHash, "root-hash", "", "with --credential: the `hash` of the control plane's root, which naru status shows there")
	f.StringVar(&opt.Mesh.TrustDomain, "trust-domain", "", "with --credential: the mesh's `name` (default naru.local)")
	f.StringArrayVar(&opt.Mesh.Control, "control", nil, "`HOST:PORT` of a control plane, again for each replica (default: those that the token names)")
	meshFlags(f, &opt.Mesh)
	nodeFlags(f, &opt.Mesh)
	f.StringVar(&opt.Admin, "admin", "", "`address` of the admin server, or off (default 127.0.0.1:9901)")
	f.StringVar(&opt.AccessLog, "access-log", "", "off, text or json, on standard output (default off)")
	f.Var((*overload)(&opt), "overload", "when this proxy itself has too much to do, in the `words` of the short form: off, or for example {memory: 1GiB} (default: on, with bounds that a proxy that is only busy does not reach)")
	f.DurationVar(&opt.Drain, "drain", 30*time.Second, "how long requests may take to finish after a stop")
	f.IntVar(&opt.Loops, "loops", 0, "number of event loops (default one for each core)")
	f.StringVar(&level, "log-level", "info", "debug, info, warn or error")
	f.BoolVar(&opt.JSON, "json", false, "greeting and messages as JSON")
	return c
}

func newControl() *cobra.Command {
	var (
		opt   app.Options
		level string
	)
	c := &cobra.Command{
		Use:   "control [FILES]",
		Short: "The control plane alone: configuration, identities, discovery",
		Long: `control reads the configuration as naru run does and carries no request: nodes
(naru node) follow it. FILES need a mesh (mesh: {} in the short form).`,
		Example: `  naru control mesh.yaml --data /var/lib/naru
  naru control mesh.yaml --node plane-1 --seal-key seal.key --etcd https://etcd:2379`,
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if opt.Files, err = files(args); err != nil {
				return err
			}
			if err = opt.Mesh.Check(); err != nil {
				return usage{err}
			}
			if opt.Log, err = logger(cmd.ErrOrStderr(), level, opt.JSON); err != nil {
				return err
			}
			opt.Out = cmd.OutOrStdout()
			unheard()
			return app.RunControl(cmd.Context(), opt)
		},
	}
	f := c.Flags()
	f.StringVar(&opt.Mesh.Listen, "listen", "0.0.0.0:15012", "`address` for nodes")
	meshFlags(f, &opt.Mesh)
	planeFlags(f, &opt.Mesh)
	f.StringVar(&opt.Admin, "admin", "", "`address` of the admin server, or off (default 127.0.0.1:9901)")
	f.StringVar(&level, "log-level", "info", "debug, info, warn or error")
	f.BoolVar(&opt.JSON, "json", false, "greeting and messages as JSON")
	return c
}

func newToken() *cobra.Command {
	c := &cobra.Command{
		Use: "token", Short: "Tokens with which nodes join a control plane", Args: argc(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	c.AddCommand(newTokenCreate(), newTokenGrant(), newTokenForget())
	return c
}

// grantFlags are what a node may have.
func grantFlags(f *pflag.FlagSet, w *admin.TokenWish) {
	f.BoolVar(&w.Gateway, "gateway", false, "it is a gateway: it gets listeners and their certificates")
	f.StringSliceVar(&w.Accounts, "account", nil, "`accounts` that workloads there may have, and serve services called so: orders, or shop/orders of namespace shop")
	f.StringSliceVar(&w.Namespaces, "namespace", nil, "`namespaces` all of whose workloads may run there, or those of --account")
	f.BoolVar(&w.Any, "any", false, "workloads of every account of every namespace may run there")
	f.StringSliceVar(&w.Addresses, "address", nil, "`addresses` or networks (192.0.2.0/28) at which it may have workloads besides the address that it connects from: behind NAT, or with several networks")
}

func newTokenCreate() *cobra.Command {
	var (
		wish   admin.TokenWish
		socket string
	)
	c := &cobra.Command{
		Use: "create --node NAME --account ACCOUNT", Short: "Make a token that one node may join with, once", Args: argc(cobra.NoArgs),
		Long: `create prints a token, and on standard error what a node may do that joins with
it. A node gets certificates for the accounts that are named, and for no others,
and its workloads are where its connection comes from.`,
		Example: `  naru token create --node web-1 --account orders,cart
  naru token create --node 'db-*' --namespace shop --address 192.0.2.0/28
  naru token create --node all-in-one --any`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if wish.Node == "" {
				return usage{fmt.Errorf("for which node? --node web-1, or a pattern such as --node 'web-*'")}
			}
			if !wish.Any && !wish.Gateway && len(wish.Namespaces)+len(wish.Accounts) == 0 {
				return usage{fmt.Errorf("what may run on %s? --account orders, again for each (shop/orders for one of namespace shop), --namespace shop for all of a namespace, or --any", wish.Node)}
			}
			if wish.TTL <= 0 {
				return usage{fmt.Errorf("--ttl %v: write for how long the token may wait, for example 1h", wish.TTL)}
			}
			made, err := admin.AtPlane(app.PlaneSocket(socket)).Token(cmd.Context(), wish)
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), made.Token)
			fmt.Fprintf(cmd.ErrOrStderr(), "good once, within %v, for node %s, which may have %s\n", wish.TTL, wish.Node, made.May)
			fmt.Fprint(cmd.ErrOrStderr(), joinsAt(made.At))
			if wish.Gateway {
				fmt.Fprintln(cmd.ErrOrStderr(), "start it with naru node --gateway: that serves listeners")
			}
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&wish.Node, "node", "", "`name` that may join, or a pattern")
	grantFlags(f, &wish)
	f.DurationVar(&wish.TTL, "ttl", time.Hour, "how long it waits to be used")
	f.StringVar(&socket, "socket", "", "where the control plane is met (default "+admin.DefaultPlaneSocket+")")
	return c
}

func newTokenGrant() *cobra.Command {
	var (
		wish   admin.TokenWish
		socket string
	)
	c := &cobra.Command{
		Use: "grant --node NAME", Short: "What a node that has joined may have, and more of it", Args: argc(cobra.NoArgs),
		Long: `grant adds to what a node may have that has joined, at once and for good, and
prints all of it. Without more than --node it prints what there is. With --only
what is not named is taken away: it is out of service within seconds, and its
certificates are not renewed.`,
		Example: `  naru token grant --node web-1
  naru token grant --node web-1 --account payments
  naru token grant --node web-1 --address 192.0.2.10`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if wish.Node == "" {
				return usage{fmt.Errorf("which node? --node web-1")}
			}
			may, err := admin.AtPlane(app.PlaneSocket(socket)).Grant(cmd.Context(), wish)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s may have %s\n", wish.Node, may)
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&wish.Node, "node", "", "`name` of the node")
	grantFlags(f, &wish)
	f.BoolVar(&wish.Only, "only", false, "take away what is not named here")
	f.StringVar(&socket, "socket", "", "where the control plane is met (default "+admin.DefaultPlaneSocket+")")
	return c
}

func newTokenForget() *cobra.Command {
	var node, account, socket string
	c := &cobra.Command{
		Use: "forget --node NAME | --account ACCOUNT", Short: "Refuse the certificates of a node or an identity from now on", Args: argc(cobra.NoArgs),
		Long: `forget --node takes from a node that it has joined: its workloads are out of
service at once, it is told nothing more, and gets no certificates. All proxies
that are connected refuse the certificates that it was given, and end connections
on which it has shown one; those that are away do so when they are back. It comes
back with another token; one that joins by a certificate (--join-ca) comes back by
that, unless its authority gives none any more.

forget --account does so with the certificates of an identity, wherever they are.
The workloads that have it get new ones at once, and the old ones are refused ten
seconds later: a node that is away then is refused until it is back.`,
		Example: `  naru token forget --node web-1
  naru token forget --account shop/orders`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			at := admin.AtPlane(app.PlaneSocket(socket))
			switch {
			case node == "" && account == "":
				return usage{fmt.Errorf("which node? --node web-1; or which account? --account orders (shop/orders of namespace shop)")}
			case node != "" && account != "":
				return usage{fmt.Errorf("--node and --account exclude each other")}
			case node != "":
				return at.Forget(cmd.Context(), node)
			}
			namespace, name, ok := strings.Cut(account, "/")
			if !ok {
				namespace, name = model.DefaultNamespace, account
			}
			return at.ForgetIdentity(cmd.Context(), namespace, name)
		},
	}
	f := c.Flags()
	f.StringVar(&node, "node", "", "`name` of the node")
	f.StringVar(&account, "account", "", "`account` whose certificates are refused: orders, or shop/orders of namespace shop")
	f.StringVar(&socket, "socket", "", "where the control plane is met (default "+admin.DefaultPlaneSocket+")")
	return c
}

func newStatus() *cobra.Command {
	var (
		socket string
		asJSON bool
	)
	c := &cobra.Command{
		Use: "status", Short: "The mesh: every proxy, what it has, when its certificates end", Args: argc(cobra.NoArgs),
		Long: `status asks one control plane, which asks the others that share its state: each
knows of the proxies that follow it. One that cannot be asked is named, and so is
why.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := admin.AtPlane(app.PlaneSocket(socket)).Status(cmd.Context())
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), s)
			}
			writeStatus(cmd, s, time.Now())
			return nil
		},
	}
	c.Flags().StringVar(&socket, "socket", "", "where the control plane is met (default "+admin.DefaultPlaneSocket+")")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func newBundle() *cobra.Command {
	var socket string
	c := &cobra.Command{
		Use: "bundle", Short: "Print the mesh's own bundle, for other trust domains", Args: argc(cobra.NoArgs),
		Long: `bundle prints by what others believe the workloads of this mesh: its roots and
keys, as the SPIFFE bundle endpoint (--bundle-listen) gives them. Another mesh
needs it once, as ca beside endpointID in its federated trust domains.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			doc, err := admin.AtPlane(app.PlaneSocket(socket)).Bundle(cmd.Context())
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n", doc)
			return err
		},
	}
	c.Flags().StringVar(&socket, "socket", "", "where the control plane is met (default "+admin.DefaultPlaneSocket+")")
	return c
}

// writeStatus writes for people. What proxies and other control planes say of
// themselves is theirs.
func writeStatus(cmd *cobra.Command, s *admin.PlaneStatus, now time.Time) {
	out := cmd.OutOrStdout()
	fmt.Fprintf(out, "mesh %s, configuration %s, as control plane %s has it, naru %s\n", s.TrustDomain, s.Configuration, s.Replica, s.Version)
	for _, r := range s.Roots {
		fmt.Fprintf(out, "root %s: %s, %s left\n", r.Subject, r.Stage, left(r.NotAfter, now))
	}
	if s.RootHash != "" {
		fmt.Fprintf(out, "root hash %s\n", s.RootHash)
	}
	if s.Limited != "" {
		fmt.Fprintf(out, "nobody can join and nothing is signed or registered: %s\n", s.Limited)
	}
	for _, f := range s.Forgotten {
		fmt.Fprintf(out, "refused: %s\n", f)
	}
	if s.Problems > 0 {
		fmt.Fprintf(out, "%d problems: see /problems of the admin server\n", s.Problems)
	}
	fmt.Fprintln(out)
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	if len(s.Replicas) > 1 || len(s.Replicas) == 1 && s.Replicas[0].Error != "" {
		fmt.Fprintln(w, "CONTROL PLANE\tADDRESS\tVERSION\tHAS\tPROXIES")
		for _, r := range s.Replicas {
			if r.Error != "" && r.Name != s.Replica {
				fmt.Fprintf(w, "%s\t%s\tunreachable: its proxies are not shown\n", r.Name, r.Address)
				continue
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\n", r.Name, r.Address, printable(r.Version), printable(newest(r.Configuration, s)), r.Proxies)
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintln(w, "PROXY\tCONTROL PLANE\tVERSION\tHAS\tLAG\tREFUSED\tCLOCK\tCERTIFICATE\tFIRST TO END")
	for _, p := range s.Proxies {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\t%s\n", named(&p), p.Replica, printable(p.Version), printable(newest(p.Configuration, s)), lag(&p), len(p.Refusals), clock(p.Skew), left(p.Certificate, now), left(p.Next, now))
	}
	fmt.Fprintln(w, "\nWORKLOAD\tNODE\tADDRESS\tSTATE\tSERVICES")
	for _, v := range s.Workloads {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", v.Name, v.Node, v.Address, v.State, strings.Join(v.Services, ", "))
	}
	_ = w.Flush() // to the terminal
	for _, r := range s.Replicas {
		if r.Error != "" {
			fmt.Fprintf(out, "\ncontrol plane %s: %s", r.Name, printable(r.Error))
		}
	}
	if n := len(s.Away); n > 0 {
		fmt.Fprintf(out, "\naway: %s (joined, and connected to no control plane%s)", someOf(s.Away), unasked(s))
	}
	for _, p := range s.Proxies {
		for _, r := range p.Refusals {
			fmt.Fprintf(out, "\n%s refused %s", p.Node, printable(r))
		}
		for _, d := range p.Denied {
			fmt.Fprintf(out, "\n%s may not have %s", p.Node, printable(d))
		}
	}
}

// named tells gateways from others.
func named(p *admin.ProxyStatus) string {
	if p.Gateway {
		return p.Node + " (gateway)"
	}
	return p.Node
}

// lag is for how long a proxy has lacked something, or has said nothing.
func lag(p *admin.ProxyStatus) string {
	if p.Silent > 0 {
		return "silent for " + p.Silent.Round(time.Second).String()
	}
	return p.Lag.Round(time.Millisecond).String()
}

// mostAway are named of machines that are away.
const mostAway = 20

func someOf(names []string) string {
	if n := len(names) - mostAway; n > 0 {
		return strings.Join(names[:mostAway], ", ") + fmt.Sprintf(" and %d more", n)
	}
	return strings.Join(names, ", ")
}

// unasked says so where a machine may be connected to somebody who is not known.
func unasked(s *admin.PlaneStatus) string {
	if slices.ContainsFunc(s.Replicas, func(r admin.ReplicaStatus) bool { return r.Error != "" }) {
		return " that could be asked"
	}
	return ""
}

// clock says how a proxy's is that the control plane's is ahead of by skew.
func clock(skew time.Duration) string {
	switch d := skew.Round(time.Second); {
	case d > 0:
		return d.String() + " behind"
	case d < 0:
		return (-d).String() + " ahead"
	}
	return "right"
}

// newest says so where a configuration is that of the control plane that was
// asked.
func newest(configuration string, s *admin.PlaneStatus) string {
	if configuration == s.Configuration {
		return "newest"
	}
	return configuration
}

// left is for how long a certificate is good, "-" without one.
func left(t, now time.Time) string {
	switch d := t.Sub(now); {
	case t.IsZero():
		return "-"
	case d <= 0:
		return "ended"
	case d < 48*time.Hour:
		return d.Round(time.Minute).String()
	default:
		return fmt.Sprintf("%d days", int(d.Hours()/24))
	}
}

// joinsAt says where a token has its node join, and that nobody else gets there
// where that is so.
func joinsAt(at []string) string {
	if len(at) == 0 {
		return ""
	}
	near := func(server string) bool {
		to, err := netip.ParseAddrPort(server)
		return err == nil && to.Addr().IsLoopback()
	}
	text := "it joins at " + strings.Join(at, " or ")
	if !slices.ContainsFunc(at, func(server string) bool { return !near(server) }) {
		text += ", which is this machine alone: for others start the control plane with --advertise HOST:PORT"
	}
	return text + "\n"
}
