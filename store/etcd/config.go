package etcd

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	"go.etcd.io/etcd/server/v3/embed"
)

// alone is the URL of a server without peers: a name, at which nobody listens.
const alone = "http://127.0.0.1:2380"

// config makes etcd's own.
func config(o Options, f *fault) (*embed.Config, error) {
	c := embed.NewConfig()
	c.Name, c.Dir = o.Name, o.Dir
	c.LogLevel = "warn"
	c.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zapLogger(o.Log, f))
	c.EnableGRPCGateway = false
	c.InitialClusterToken = "naru"
	c.QuotaBackendBytes = o.Quota
	c.MaxTxnOps = 10_000
	// What a member that was away catches up from is in memory: one that
	// missed more takes a snapshot.
	c.SnapshotCount, c.SnapshotCatchUpEntries = 5_000, 1_000
	c.AutoCompactionMode, c.AutoCompactionRetention = embed.CompactorModePeriodic, o.Keep.String()
	c.WatchProgressNotifyInterval = time.Minute

	// Calls come from within the process: there is nothing to listen for.
	c.ListenClientUrls, c.AdvertiseClientUrls = nil, nil
	peers := o.Peers
	if len(peers) == 0 {
		peers = map[string]string{o.Name: alone}
	}
	own, err := url.Parse(peers[o.Name])
	if err != nil {
		return nil, err
	}
	c.AdvertisePeerUrls, c.ListenPeerUrls = []url.URL{*own}, nil
	if len(o.Peers) > 0 {
		listen := url.URL{Scheme: own.Scheme, Host: own.Host}
		if o.Listen != "" {
			listen.Host = o.Listen
		}
		c.ListenPeerUrls = []url.URL{listen}
	}
	if o.Join {
		c.ClusterState = embed.ClusterStateFlagExisting
	}
	names := slices.Sorted(maps.Keys(peers))
	for i, name := range names {
		names[i] = fmt.Sprintf("%s=%s", name, peers[name])
	}
	c.InitialCluster = strings.Join(names, ",")
	if !o.PeerTLS.empty() {
		c.TlsMinVersion = "TLS1.3"
		c.PeerTLSInfo = transport.TLSInfo{
			CertFile: o.PeerTLS.Cert, KeyFile: o.PeerTLS.Key, TrustedCAFile: o.PeerTLS.CA, ClientCertAuth: true,
		}
	}
	return c, nil
}
