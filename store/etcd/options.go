package etcd

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Options say where the state is. Either Dir or Endpoints is set.
type Options struct {
	// Prefix stands before every key, "naru/" where it is empty. Other users of
	// the same etcd do not see naru's keys, and naru not theirs.
	Prefix string
	// Log gets what goes wrong with the server; nil is silence.
	Log *slog.Logger
	// Wait bounds a call whose context has no deadline, 5 s where it is 0.
	Wait time.Duration
	// LeaderTTL is how long a leader that is no longer heard keeps its place,
	// 10 s where it is 0; whole seconds.
	LeaderTTL time.Duration

	// Dir is the folder of an embedded server. It is made, and closed to
	// others (mode 0700). A second process that opens it is refused.
	Dir string
	// Quota is how large the database may grow in bytes, 2 GiB where it is 0.
	// Beyond it writes fail; reading and deleting go on.
	Quota int64
	// Reserve is how much of the disk must be free, in bytes, for anything to be
	// written; 160 MiB where it is 0: two log segments and a step of the
	// database. Negative is none.
	Reserve int64
	// Keep is for how long changes are remembered at least, so that a Watch can
	// begin in the past; 10 min where it is 0.
	Keep time.Duration

	// Name is this member's name among Peers, "naru" where it is empty.
	Name string
	// Peers are all members by name, this one too, with the URL at which others
	// reach it ("https://10.0.0.1:2380"). Empty: this server is alone. It counts
	// with the first start only; later the cluster knows.
	Peers map[string]string
	// Listen is the address for peers ("0.0.0.0:2380"), that of the member's
	// own URL where it is empty.
	Listen string
	// PeerTLS are the certificates with which members know each other. Needed
	// wherever a URL is not on the loopback.
	PeerTLS Files
	// Join: the cluster runs already and expects this member.
	Join bool

	// Endpoints are the members of a cluster outside ("https://10.0.0.9:2379").
	Endpoints []string
	// TLS is how the outside cluster is spoken to; nil for http endpoints. It is
	// asked for a certificate at each handshake (tls.Config.GetClientCertificate).
	TLS *tls.Config
	// User and Password are for an outside cluster with users.
	User, Password string
}

// Files name a certificate chain, its key and the certificates of those who may
// have signed the other side's, in PEM. They are read again at each handshake,
// so a renewed certificate needs no restart.
type Files struct{ Cert, Key, CA string }

func (f Files) empty() bool { return f == Files{} }

// fill gives what is not set its default, and says what cannot be.
func (o *Options) fill() error {
	def := func(v *string, to string) {
		if *v == "" {
			*v = to
		}
	}
	def(&o.Prefix, "naru/")
	def(&o.Name, "naru")
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Wait <= 0 {
		o.Wait = 5 * time.Second
	}
	if o.LeaderTTL <= 0 {
		o.LeaderTTL = 10 * time.Second
	}
	if o.Quota <= 0 {
		o.Quota = 2 << 30
	}
	if o.Reserve == 0 {
		o.Reserve = 160 << 20
	}
	if o.Keep <= 0 {
		o.Keep = 10 * time.Minute
	}
	if (o.Dir == "") == (len(o.Endpoints) == 0) {
		return errors.New("store: name either a folder for an embedded etcd or the endpoints of one outside")
	}
	if o.Dir == "" {
		return o.checkOutside()
	}
	return o.checkPeers()
}

func (o *Options) checkOutside() error {
	for _, e := range o.Endpoints {
		u, err := url.Parse(e)
		switch {
		case err != nil || u.Host == "" && u.Path == "":
			return fmt.Errorf("store: %q is not an endpoint: write https://10.0.0.9:2379", e)
		case u.Scheme == "https" && o.TLS == nil:
			return fmt.Errorf("store: the endpoint %s wants TLS, and no certificates are given", e)
		case u.Scheme == "http" && o.TLS != nil:
			return fmt.Errorf("store: the endpoint %s is without TLS, but certificates are given: write https://", e)
		case u.Scheme == "http" && !loopback(u.Hostname()):
			return fmt.Errorf("store: the endpoint %s would carry the state of the mesh in the clear: use https:// and certificates", e)
		}
	}
	return nil
}

func (o *Options) checkPeers() error {
	if len(o.Peers) == 0 {
		return nil
	}
	if _, ok := o.Peers[o.Name]; !ok {
		return fmt.Errorf("store: the member %q is not among the peers %s", o.Name, strings.Join(slices.Sorted(maps.Keys(o.Peers)), ", "))
	}
	for name, peer := range o.Peers {
		u, err := url.Parse(peer)
		switch {
		case err != nil || u.Host == "" || u.Port() == "" || u.Scheme != "http" && u.Scheme != "https":
			return fmt.Errorf("store: the peer %s has the URL %q: write https://HOST:PORT", name, peer)
		case u.Scheme == "https" && (o.PeerTLS.Cert == "" || o.PeerTLS.Key == "" || o.PeerTLS.CA == ""):
			return fmt.Errorf("store: the peer %s wants TLS: give a certificate, its key and the authority of the others", name)
		case u.Scheme == "http" && !loopback(u.Hostname()):
			return fmt.Errorf("store: the peer %s would be spoken to in the clear: use https:// and certificates", name)
		}
	}
	return nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
