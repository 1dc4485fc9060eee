package link

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/naru-mesh/naru/identity"
	"github.com/naru-mesh/naru/model"
)

// ClientOptions are what a Client is made of.
type ClientOptions struct {
	// Node is the name of this machine's proxy.
	Node string
	// Servers are addresses (host:port) of control planes, any of which will
	// do; none: those of the Token.
	Servers     []string
	TrustDomain string // "": the Token's, else model.DefaultTrustDomain
	// Token joins, as it was printed. It is used when State has no identity.
	Token string
	// Credential joins instead of a Token: a certificate of an authority that
	// the control plane knows. Root then pins the control plane as a Token does.
	Credential *tls.Certificate
	Root       [32]byte
	// State is a folder for the identity and the last good configuration; ""
	// keeps nothing: a restart needs a control plane.
	State string
	// Seal and Open encrypt what State holds; nil writes it as it is, readable
	// by the owner alone.
	Seal, Open func([]byte) ([]byte, error)
	// Subscriptions: none is ForNode.
	Subscriptions []Subscription
	// Settings are those of this process: none come over the link.
	Settings model.Settings
	// Serves: the Snapshots of Next are put in force, and Serves is called then.
	Serves  bool
	Version string // of naru, for the status
	Address string // of the mesh listener, for the status
	// Certificates gives those that the proxy holds, for the status; or nil.
	Certificates func() []CertificateState
	// Counts gives what the proxy has counted for whoever decides at the control
	// plane, or nothing; it is asked once a second. nil: it counts nothing.
	Counts func() []byte
	// Sink takes resources as they come, undecoded, instead of a Snapshot being
	// made of them; for tools. It must not block. A removed one has no Sum.
	Sink func(Resource)
	// Heartbeat: 0 is DefaultHeartbeat. Backoff is the longest wait between
	// tries to connect; 0 is 15 s.
	Heartbeat, Backoff time.Duration
	Log                *slog.Logger
	Now                func() time.Time
}

// Client is the link's end at a proxy. It is a model.Feed and an
// identity.Authority. Any goroutine may call it.
type Client struct {
	options ClientOptions
	log     *slog.Logger
	joins   *Token // nil: joins by Credential, or cannot
	joinKey crypto.Signer
	joinCSR []byte

	mu sync.Mutex
	// changed is closed and made anew when anything below changes that
	// somebody may wait for.
	changed    chan struct{}
	set        set
	snapshot   *model.Snapshot
	bundles    *identity.Bundles
	wire       *wireBundles
	pool       *x509.CertPool
	own        *ownIdentity
	conn       *grpc.ClientConn // of the stream that has begun; nil: none
	stream     *following
	registered map[string]*model.Workload // by full name: registered again at each stream
	leaving    map[string]string          // full names of those that have left, and their namespaces, until a control plane has heard of it
	known      map[string]bool            // NAMESPACE/ACCOUNT that the control plane has heard of
	process    uint64                     // another one for each Client, not 0
	state      Status
	changes    int // of what there is
	onDisk     int // of those, in State
	save       chan struct{}
	wanted     time.Duration      // the heartbeat that the control plane asked for
	beats      chan time.Duration // has it once, for beat
	made       []madeUpdate       // of this stream, that do not serve yet
	serving    model.Version
	inForce    uint64        // nonce of the update that serves, of this stream
	serves     chan struct{} // it has changed, for beat
}

// ownIdentity is the node's.
type ownIdentity struct {
	certificate tls.Certificate
	key         []byte // PKCS #8
}

// Status is how a Client is.
type Status struct {
	Node string
	// Connected to a control plane: Server is its name, Address where it is.
	Connected       bool
	Server, Address string
	Since           time.Time // of this connection
	// LastContact is when a control plane was heard last; zero: never.
	LastContact time.Time
	// System is the control plane's Version that was reached, Applied that of
	// the Snapshot made of it.
	System, Applied model.Version
	// FromDisk: what is applied was read from State, and no control plane has
	// confirmed it yet.
	FromDisk bool
	// Changed is when the configuration came that is applied.
	Changed time.Time
	// RTT and Skew are of the last heartbeat; Skew is positive where the
	// control plane's clock is ahead of ours. Clock says what it leads to, ""
	// where it does not matter.
	RTT, Skew time.Duration
	Clock     string
	// Limited says why the control plane can sign and register nothing now; "": it
	// can. What it gives goes on.
	Limited string
	// Refusals of the last update that had any.
	Refusals []Refusal
	// Certificate is when the node's own certificate ends.
	Certificate time.Time
	// Error is why there is no connection.
	Error string
	// Unsaved: the newest is not in State, not yet or because of SaveError: after
	// a restart without a control plane an older one would serve.
	Unsaved   bool
	SaveError string
}

// ErrRefused: the control plane does not let this node in. Trying again is of
// no use without another token.
var ErrRefused = errors.New("link: refused by the control plane")

// ErrOtherRoot: what there is at the addresses of the control plane has another
// root than the one that the token, or ClientOptions.Root, names.
var ErrOtherRoot = errors.New("link: not the control plane that was named")

var (
	_ model.Feed         = (*Client)(nil)
	_ identity.Authority = (*Client)(nil)
)

// NewClient reads State. What is broken there is logged and left alone until
// something better comes; an error is a mistake in the options.
func NewClient(o ClientOptions) (*Client, error) {
	if !IsNodeName(o.Node) {
		return nil, errors.New("link: " + o.Node + " is no name for a node: letters, digits, dots, dashes and underscores")
	}
	c := &Client{changed: make(chan struct{}), save: make(chan struct{}, 1), beats: make(chan time.Duration, 1), serves: make(chan struct{}, 1), registered: map[string]*model.Workload{}, leaving: map[string]string{}, known: map[string]bool{}, process: rand.Uint64() | 1}
	if o.Token != "" {
		t, err := ParseToken(o.Token)
		if err != nil {
			return nil, err
		}
		c.joins = &t
		if len(o.Servers) == 0 {
			o.Servers = t.Servers
		}
		o.TrustDomain = cmpOr(o.TrustDomain, t.TrustDomain)
	}
	c.options = o
	c.remember(&o)
	o.TrustDomain = cmpOr(o.TrustDomain, model.DefaultTrustDomain)
	if len(o.Servers) == 0 {
		return nil, errors.New("link: no control plane is named: give an address, or a token that has one")
	}
	if o.Subscriptions == nil {
		o.Subscriptions = ForNode()
	}
	if o.Heartbeat == 0 {
		o.Heartbeat = DefaultHeartbeat
	}
	if o.Backoff == 0 {
		o.Backoff = 15 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	c.options, c.log = o, o.Log
	c.state.Node = o.Node
	c.set.init(o.Settings)
	c.load()
	return c, nil
}

// Servers are the addresses of the control planes: as the options, the token or
// State have them.
func (c *Client) Servers() []string { return c.options.Servers }

// At says where the mesh listener is, for the status; before Run.
func (c *Client) At(address string) { c.options.Address = address }

// Run joins where that is needed, connects, follows, and connects again, until
// ctx ends; it returns ctx's error, or ErrRefused. Where the node has never
// joined, and every server has another root than the one that was named, it
// returns ErrOtherRoot. What was received stays available after it.
func (c *Client) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var parts sync.WaitGroup
	defer parts.Wait()
	defer cancel()
	parts.Go(func() { c.saver(ctx) })
	parts.Go(func() { c.renewer(ctx) })
	// Each proxy begins somewhere else, so that replicas share them.
	at := rand.IntN(len(c.options.Servers))
	wait := firstBackoff
	var told unreached
	strange := map[string]bool{}
	for {
		server := c.options.Servers[at%len(c.options.Servers)]
		began := c.options.Now()
		err := c.ensureIdentity(ctx, server)
		if err == nil {
			err = c.follow(ctx, server)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if c.strange(strange, server, err) || errors.Is(err, ErrRefused) {
			c.update(func() { c.state.Error = err.Error() })
			return err
		}
		if errors.Is(err, errRenewed) {
			continue
		}
		c.away(&told, server, err)
		c.update(func() { c.state.Error = err.Error() })
		if c.options.Now().Sub(began) > c.options.Backoff {
			wait = firstBackoff // it was good for a while
		}
		at++
		if !pause(ctx, time.Duration(rand.Int64N(int64(wait)))+wait/4) {
			return context.Cause(ctx)
		}
		if at%len(c.options.Servers) == 0 {
			wait = min(wait*2, c.options.Backoff)
		}
	}
}

const firstBackoff = 200 * time.Millisecond

// unreached is what was logged last of control planes that are away.
type unreached struct {
	text string
	at   time.Time
}

// toldEvery is how often the same is logged of a control plane that is away.
const toldEvery = time.Minute

// away logs that a control plane is not followed: the same again once a minute.
func (c *Client) away(told *unreached, server string, err error) {
	now, text := c.options.Now(), "link: no control plane; going on with what there is"
	c.mu.Lock()
	if c.own == nil {
		text = "link: this node has not joined yet: no control plane is reached, or lets it in; trying again"
	}
	c.mu.Unlock()
	if said := text + server + err.Error(); said != told.text || now.Sub(told.at) >= toldEvery {
		told.text, told.at = said, now
		c.log.Warn(text, "server", server, "err", err)
	}
}

// update changes what is guarded by mu and wakes who waits for it.
func (c *Client) update(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
	close(c.changed)
	c.changed = make(chan struct{})
}

// await waits until ready, under mu, says so.
func (c *Client) await(ctx context.Context, ready func() bool) error {
	for {
		c.mu.Lock()
		ok, changed := ready(), c.changed
		c.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

// Next implements model.Feed.
func (c *Client) Next(ctx context.Context, after model.Version) (s *model.Snapshot, err error) {
	err = c.await(ctx, func() bool {
		s = c.snapshot
		return s != nil && s.Version != after
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Bundles implements identity.Authority.
func (c *Client) Bundles(ctx context.Context, after *identity.Bundles) (b *identity.Bundles, err error) {
	err = c.await(ctx, func() bool {
		b = c.bundles
		return b != nil && b != after
	})
	if err != nil {
		return nil, err
	}
	return b, nil
}

// Status is how things stand.
func (c *Client) Status() Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.state
	s.Unsaved = c.options.State != "" && c.onDisk != c.changes
	if c.own != nil {
		s.Certificate = c.own.certificate.Leaf.NotAfter
	}
	return s
}

// dial opens a connection that is used at once; gRPC's own trying again is not
// wanted: the next server is.
func dial(server string, t *tls.Config) (*grpc.ClientConn, error) {
	return grpc.NewClient("passthrough:///"+server,
		grpc.WithTransportCredentials(credentials.NewTLS(t)),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(codec{}), grpc.MaxCallRecvMsgSize(mostMessage)),
		grpc.WithReadBufferSize(4<<10), grpc.WithWriteBufferSize(16<<10),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.DefaultConfig, MinConnectTimeout: handshakeTime}),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			return (&net.Dialer{Timeout: dialTime}).DialContext(ctx, "tcp", address)
		}),
		grpc.WithDisableServiceConfig(), grpc.WithDisableRetry(), grpc.WithNoProxy(),
	)
}

// call waits for a connection and makes a call; where that connection fails it
// waits for another. Every call of the link may be made twice.
func (c *Client) call(ctx context.Context, method string, q, a any) error {
	var last *grpc.ClientConn
	for {
		var conn *grpc.ClientConn
		if err := c.await(ctx, func() bool { conn = c.conn; return conn != nil && conn != last }); err != nil {
			return err
		}
		err := conn.Invoke(ctx, "/"+serviceName+"/"+method, q, a)
		if code := status.Code(err); code != codes.Unavailable && (code != codes.Canceled || ctx.Err() != nil) {
			if err != nil {
				err = callError{status.Convert(err)}
			}
			return err
		}
		last = conn
	}
}

// signSoon is for how long an identity waits for its workload's registration, which
// goes out beside it.
const signSoon = 500 * time.Millisecond

// callError is what a control plane has answered, in its words.
type callError struct{ status *status.Status }

func (e callError) Error() string              { return "the control plane: " + e.status.Message() }
func (e callError) GRPCStatus() *status.Status { return e.status }

// SignX509 implements identity.Authority: the control plane signs for the
// node's own identity and for those of workloads that are registered. One that is
// about to be is waited for, not long.
func (c *Client) SignX509(ctx context.Context, id identity.ID, csr []byte, ttl time.Duration) ([][]byte, error) {
	var a signResponse
	if namespace, account, ok := id.Workload(); ok {
		soon, cancel := context.WithTimeout(ctx, signSoon)
		_ = c.await(soon, func() bool { return c.known[namespace+"/"+account] }) // else it is refused, with the reason
		cancel()
	}
	err := c.call(ctx, "Sign", &signRequest{ID: string(id), CSR: csr, TTL: int64(ttl)}, &a)
	return a.Chain, err
}

// SignJWT implements identity.Authority.
func (c *Client) SignJWT(ctx context.Context, id identity.ID, audience []string, ttl time.Duration) (string, error) {
	var a signResponse
	err := c.call(ctx, "SignJWT", &signRequest{ID: string(id), Audience: audience, TTL: int64(ttl)}, &a)
	return a.Token, err
}

// Register makes a workload of this node known, or changes it; it stays so
// until Unregister, over connections and control planes. It waits for a control
// plane; when ctx ends before there was one, the workload is registered as soon
// as there is.
func (c *Client) Register(ctx context.Context, w *model.Workload) error {
	w = workloadOf(*w, c.options.Node)
	c.update(func() {
		c.registered[w.Name] = w
		delete(c.leaving, w.Name)
	})
	err := c.call(ctx, "Register", &registerRequest{Workload: w, Process: c.process}, &empty{})
	if err == nil {
		c.update(func() { c.known[w.Namespace+"/"+w.Account] = true })
	}
	if code := status.Code(err); code == codes.PermissionDenied || code == codes.InvalidArgument {
		c.update(func() {
			if c.registered[w.Name] == w {
				delete(c.registered, w.Name)
			}
		})
		return denial{err}
	}
	return err
}

// ErrDenied is what Register's error is where the node may not have the
// workload: it tells what would be right.
var ErrDenied = errors.New("link: the node may not have it")

// denial is what the control plane said, without what gRPC says around it.
type denial struct{ error }

func (d denial) Error() string        { return status.Convert(d.error).Message() }
func (d denial) Unwrap() error        { return d.error }
func (d denial) Is(target error) bool { return target == ErrDenied }

func workloadOf(w model.Workload, node string) *model.Workload {
	w.Node, w.Name = node, fullName(w.Namespace, w.Name)
	return &w
}

// fullName is a workload's name with its namespace, whether it has it or not.
func fullName(namespace, name string) string { return namespace + "/" + instanceOf(namespace, name) }

// mostLeaving bounds how many workloads may have left unheard. A control plane
// that was away for so many has forgotten them with the node's lease.
const mostLeaving = 10000

// Unregister takes a workload of this node away; name may have the namespace in
// front. An error: no control plane has heard of it until ctx ended. One hears
// of it before anything else when there is one again.
func (c *Client) Unregister(ctx context.Context, namespace, name string) error {
	name = fullName(namespace, name)
	c.update(func() {
		delete(c.registered, name)
		if len(c.leaving) < mostLeaving {
			c.leaving[name] = namespace
		}
	})
	err := c.call(ctx, "Unregister", departure(namespace, name), &empty{})
	if err == nil || status.Code(err) == codes.PermissionDenied {
		c.update(func() { delete(c.leaving, name) })
	}
	return err
}

func departure(namespace, name string) *registerRequest {
	return &registerRequest{Workload: &model.Workload{Namespace: namespace, Name: name}}
}

// Subscribe replaces what is subscribed to; only the difference travels.
func (c *Client) Subscribe(list []Subscription) {
	var f *following
	c.update(func() {
		c.options.Subscriptions = list
		f = c.stream
	})
	if f != nil {
		f.say(&ask{Subscribe: &wants{list}})
	}
}
