package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/naru-mesh/naru/identity"
	"github.com/naru-mesh/naru/rollout"
)

// DefaultPlaneSocket is where a control plane meets those who run it.
const DefaultPlaneSocket = "/run/naru/control.sock"

// TokenWish is what a token is asked for.
type TokenWish struct {
	// Node is the name that may join, or a pattern: "web-1", "web-*".
	Node    string `json:"node"`
	Gateway bool   `json:"gateway,omitempty"`
	// What may run there: workloads of any account, or of these Namespaces and
	// Accounts ("orders", "shop/orders"). Addresses are where besides where its
	// connection comes from: addresses or CIDR networks.
	Any        bool          `json:"any,omitempty"`
	Namespaces []string      `json:"namespaces,omitempty"`
	Accounts   []string      `json:"accounts,omitempty"`
	Addresses  []string      `json:"addresses,omitempty"`
	TTL        time.Duration `json:"ttl,omitempty"`
	// Only: a Grant is this, and what there was is taken away.
	Only bool `json:"only,omitempty"`
}

// TokenMade is a token, and in words what a node may do that joins with it.
type TokenMade struct {
	Token string `json:"token"`
	May   string `json:"may"`
	// At are the addresses that it has its node join at, host:port; of a grant none.
	At []string `json:"at,omitempty"`
}

// Plane is a control plane, as those who run it see it: app.
type Plane interface {
	// Token makes a token that one node may join with, once.
	Token(ctx context.Context, wish TokenWish) (TokenMade, error)
	// Grant adds to what the node wish.Node may have, and says all of that in
	// words; a wish for nothing adds nothing.
	Grant(ctx context.Context, wish TokenWish) (string, error)
	// Forget makes a node a stranger, whose certificates all proxies refuse.
	Forget(ctx context.Context, node string) error
	// ForgetIdentity has all proxies refuse the certificates of an account that were
	// issued until now, once its workloads had time to get others.
	ForgetIdentity(ctx context.Context, namespace, account string) error
	// Bundle is the mesh's own, as a SPIFFE bundle endpoint gives it: for other
	// trust domains.
	Bundle(ctx context.Context) ([]byte, error)
	// Rotate begins to replace the root of the mesh.
	Rotate(ctx context.Context) error
	// Reissue replaces the intermediate that this control plane signs with.
	Reissue(ctx context.Context) error
	// Status is what naru status shows.
	Status(ctx context.Context) (*PlaneStatus, error)
	// Rollouts are all that are configured; Rollout does something with one, and
	// gives how it is then.
	Rollouts(ctx context.Context) ([]rollout.View, error)
	Rollout(ctx context.Context, wish RolloutWish) (rollout.View, error)
}

// PlaneStatus is the state of a mesh, as one control plane sees it.
type PlaneStatus struct {
	Version string `json:"version"` // of naru
	Replica string `json:"replica"` // which control plane says so
	// Replicas are the control planes that share the state, this one too, and
	// whether they could be asked of the proxies that follow them.
	Replicas      []ReplicaStatus `json:"replicas"`
	Configuration string          `json:"configuration"`
	TrustDomain   string          `json:"trustDomain"`
	Listening     string          `json:"listening,omitempty"` // for nodes
	Roots         []RootStatus    `json:"roots"`
	RootHash      string          `json:"rootHash,omitempty"` // by what a node that joins without a token knows it
	Store         any             `json:"store,omitempty"`
	Limited       string          `json:"limited,omitempty"` // why nothing can be signed or registered
	// Forgotten are machines and identities whose certificates are refused.
	Forgotten []string      `json:"forgotten,omitempty"`
	Proxies   []ProxyStatus `json:"proxies"`
	// Away are machines that have joined and follow no control plane that could be
	// asked.
	Away      []string       `json:"away,omitempty"`
	Workloads []WorkloadView `json:"workloads"`
	Problems  int            `json:"problems"`
	// Published is the sequence of a bundle whose new root waits to sign until
	// all proxies have it; 0: none does.
	Published uint64 `json:"published,omitempty"`
}

// ReplicaStatus is a control plane.
type ReplicaStatus struct {
	Name          string    `json:"name"`
	Address       string    `json:"address,omitempty"` // of its link
	Began         time.Time `json:"began,omitzero"`
	Version       string    `json:"version,omitempty"` // of naru
	Configuration string    `json:"configuration,omitempty"`
	Proxies       int       `json:"proxies"`
	// Error is why it could not be asked: its proxies are not listed.
	Error string `json:"error,omitempty"`
}

// RootStatus is a root of the mesh.
type RootStatus struct {
	Subject  string    `json:"subject"`
	Stage    string    `json:"stage"`
	NotAfter time.Time `json:"notAfter"`
}

// ProxyStatus is a proxy that follows the control plane.
type ProxyStatus struct {
	Node    string    `json:"node"`
	Replica string    `json:"replica"` // that it follows
	Gateway bool      `json:"gateway,omitempty"`
	Version string    `json:"version"`
	From    string    `json:"from"`
	Since   time.Time `json:"since"`
	// Configuration is the control plane's that it has; Lag is for how long it
	// has lacked something.
	Configuration string        `json:"configuration"`
	Lag           time.Duration `json:"lag"`
	Refusals      []string      `json:"refusals,omitempty"`
	// Silent is for how long it has not been heard, where that is longer than its
	// heartbeat takes: what is said of it was so before.
	Silent time.Duration `json:"silent,omitempty"`
	// Skew is how far the control plane's clock is ahead of this proxy's, at least.
	Skew time.Duration `json:"skew,omitempty"`
	// Denied are its workloads that are not registered, because it may not have
	// them, with why.
	Denied []string `json:"denied,omitempty"`
	// Certificate is when its own ends; Next is when the first of all that it
	// holds does.
	Certificate time.Time `json:"certificate"`
	Next        time.Time `json:"next,omitzero"`
	// Bundles: it has the newest.
	Bundles bool `json:"bundles"`
}

// WorkloadView is a workload of the mesh.
type WorkloadView struct {
	Name     string   `json:"name"`
	Node     string   `json:"node"`
	Address  string   `json:"address"`
	State    string   `json:"state"`
	Services []string `json:"services,omitempty"`
}

// ListenPlane serves p on a Unix socket that its owner alone may use.
func ListenPlane(path string, p Plane, log *slog.Logger) (*Server, error) {
	if err := ownFolder(path); err != nil {
		return nil, fmt.Errorf("control socket: %w (--control-socket PATH takes another)", err)
	}
	if conn, err := net.Dial("unix", path); err == nil {
		conn.Close()
		return nil, fmt.Errorf("control socket %s: another naru serves there (--control-socket PATH takes another)", path)
	}
	_ = os.Remove(path) // of one that is gone
	ln, err := net.Listen("unix", path)
	if err == nil {
		err = os.Chmod(path, 0o600)
	}
	if err != nil {
		return nil, fmt.Errorf("control socket: %w (--control-socket PATH takes another)", err)
	}
	return &Server{ln: ln, log: log, http: &http.Server{Handler: planeHandler(p), ReadHeaderTimeout: 5 * time.Second}}, nil
}

func planeHandler(p Plane) http.Handler {
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, v any, err error) {
		if err != nil {
			http.Error(w, err.Error(), http.StatusUnprocessableEntity)
			return
		}
		reply(w, v)
	}
	mux.HandleFunc("POST /tokens", func(w http.ResponseWriter, r *http.Request) {
		if wish, ok := readWish(w, r); ok {
			made, err := p.Token(r.Context(), wish)
			answer(w, made, err)
		}
	})
	mux.HandleFunc("POST /grants", func(w http.ResponseWriter, r *http.Request) {
		if wish, ok := readWish(w, r); ok {
			may, err := p.Grant(r.Context(), wish)
			answer(w, may, err)
		}
	})
	mux.HandleFunc("DELETE /nodes/{node}", func(w http.ResponseWriter, r *http.Request) {
		answer(w, true, p.Forget(r.Context(), r.PathValue("node")))
	})
	mux.HandleFunc("DELETE /identities/{namespace}/{account}", func(w http.ResponseWriter, r *http.Request) {
		answer(w, true, p.ForgetIdentity(r.Context(), r.PathValue("namespace"), r.PathValue("account")))
	})
	mux.HandleFunc("POST /rotate", func(w http.ResponseWriter, r *http.Request) { answer(w, true, p.Rotate(r.Context())) })
	mux.HandleFunc("POST /reissue", func(w http.ResponseWriter, r *http.Request) { answer(w, true, p.Reissue(r.Context())) })
	mux.HandleFunc("GET /bundle", func(w http.ResponseWriter, r *http.Request) {
		doc, err := p.Bundle(r.Context())
		answer(w, json.RawMessage(doc), err)
	})
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, r *http.Request) {
		s, err := p.Status(r.Context())
		answer(w, s, err)
	})
	planeRollouts(mux, p, answer)
	return mux
}

func readWish(w http.ResponseWriter, r *http.Request) (wish TokenWish, ok bool) {
	if err := json.NewDecoder(io.LimitReader(r.Body, 64<<10)).Decode(&wish); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return wish, false
	}
	return wish, true
}

// PlaneClient is the other end of ListenPlane.
type PlaneClient struct{ socket string }

// AtPlane asks the control plane at a socket.
func AtPlane(socket string) *PlaneClient { return &PlaneClient{socket} }

// Token is as Plane's.
func (c *PlaneClient) Token(ctx context.Context, wish TokenWish) (made TokenMade, err error) {
	err = c.ask(ctx, "POST", "/tokens", wish, &made)
	return made, err
}

// Grant is as Plane's.
func (c *PlaneClient) Grant(ctx context.Context, wish TokenWish) (may string, err error) {
	err = c.ask(ctx, "POST", "/grants", wish, &may)
	return may, err
}

// Forget is as Plane's.
func (c *PlaneClient) Forget(ctx context.Context, node string) error {
	return c.ask(ctx, "DELETE", "/nodes/"+node, nil, new(bool))
}

// ForgetIdentity is as Plane's.
func (c *PlaneClient) ForgetIdentity(ctx context.Context, namespace, account string) error {
	return c.ask(ctx, "DELETE", "/identities/"+url.PathEscape(namespace)+"/"+url.PathEscape(account), nil, new(bool))
}

// Rotate is as Plane's.
func (c *PlaneClient) Rotate(ctx context.Context) error {
	return c.ask(ctx, "POST", "/rotate", nil, new(bool))
}

// Reissue is as Plane's.
func (c *PlaneClient) Reissue(ctx context.Context) error {
	return c.ask(ctx, "POST", "/reissue", nil, new(bool))
}

// Bundle is as Plane's.
func (c *PlaneClient) Bundle(ctx context.Context) ([]byte, error) {
	var doc json.RawMessage
	err := c.ask(ctx, "GET", "/bundle", nil, &doc)
	return doc, err
}

// Status is as Plane's.
func (c *PlaneClient) Status(ctx context.Context) (*PlaneStatus, error) {
	s := &PlaneStatus{}
	return s, c.ask(ctx, "GET", "/status", nil, s)
}

func (c *PlaneClient) ask(ctx context.Context, method, path string, in, out any) error {
	var body bytes.Buffer
	if in != nil {
		if err := json.NewEncoder(&body).Encode(in); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://control"+path, &body)
	if err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return identity.KeptBy(c.socket, func() (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", c.socket)
		})
	}}}
	res, err := client.Do(req)
	if errors.Is(err, identity.ErrForeign) {
		return fmt.Errorf("the control plane at %s is not asked: %w", c.socket, errors.Unwrap(err))
	}
	if err != nil {
		var op *net.OpError
		if errors.As(err, &op) && op.Op == "dial" {
			where := ""
			if _, err := os.Stat(DefaultPlaneSocket); err == nil && c.socket != DefaultPlaneSocket {
				where = "one of root is met at " + DefaultPlaneSocket + ": ask as root; "
			}
			return fmt.Errorf("no control plane is met at %s: %w (%s--socket PATH where it is met elsewhere; only the user who runs it may ask)", c.socket, op.Err, where)
		}
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 64<<20))
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return errors.New(strings.TrimSpace(string(text)))
	}
	return json.Unmarshal(text, out)
}
