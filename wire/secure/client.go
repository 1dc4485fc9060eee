package secure

import (
	"crypto/tls"
	"net/netip"
	"sync"
	"time"

	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// dialer implements wire.Dialer for one service. It has no goroutine and no
// end: files are looked at, at most once in watchEvery, by the handshakes that
// need them.
type dialer struct {
	security *Security
	cfg      *wire.ClientTLS

	mu     sync.Mutex // once for each connection, on its handshake's goroutine
	base   *tls.Config
	trust  *trust       // nil: the system's roots
	own    *certificate // cfg.Credential
	looked time.Time
	// configs has one for each endpoint, because sessions resume only where
	// they began: endpoints of one name rarely share their ticket keys.
	configs map[netip.AddrPort]*tls.Config
}

// configsMost bounds the endpoints that are remembered; beyond it all are
// forgotten, which costs each one full handshake.
const configsMost = 1024

var _ wire.Lender = (*dialer)(nil)

// Client implements wire.Security. Files are read now.
func (s *Security) Client(cfg *wire.ClientTLS) (wire.Dialer, error) {
	d := &dialer{security: s, cfg: cfg, looked: time.Now()}
	if err := checkClient(cfg); err != nil {
		return nil, err
	}
	if cfg.Identities == nil {
		var err error
		if cfg.CAFile != "" || len(cfg.CA) > 0 {
			if d.trust, err = newTrust("CA", cfg.CAFile, cfg.CA); err != nil {
				return nil, err
			}
		}
		if c := cfg.Credential; c != nil {
			d.own = &certificate{cfg: *c, seen: look(c)}
			if err = d.own.load(nil); err != nil {
				return nil, err
			}
		}
	}
	d.publish()
	return d, nil
}

// publish makes handshakes to come use the files as they were read. Sessions
// of before are forgotten: they tell who was believed, and who we were.
func (d *dialer) publish() {
	base := &tls.Config{
		ServerName:                  d.cfg.ServerName,
		InsecureSkipVerify:          d.cfg.Insecure,
		NextProtos:                  d.cfg.Protocols,
		MinVersion:                  tls.VersionTLS12,
		DynamicRecordSizingDisabled: true,
	}
	if d.trust != nil {
		base.RootCAs = d.trust.pool
	}
	if own := d.own; own != nil {
		// Without a look at the authorities that the service says it knows: its
		// list may be of roots, and our chain without.
		base.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return own.pair, nil }
	}
	if d.cfg.Identities != nil {
		base.MinVersion, base.InsecureSkipVerify = tls.VersionTLS13, true // authenticate checks
		base.SessionTicketsDisabled = true
	}
	d.base, d.configs = base, map[netip.AddrPort]*tls.Config{}
}

// refresh takes over files that have changed, at most once in watchEvery.
func (d *dialer) refresh() (reports []report) {
	if now := time.Now(); now.Sub(d.looked) >= watchEvery {
		d.looked = now
	} else {
		return nil
	}
	changed := false
	trust, r := d.trust.refresh()
	if trust != nil {
		d.trust, changed = trust, true
	}
	if r != nil {
		reports = append(reports, *r)
	}
	if d.own != nil {
		own, r := d.own.refresh()
		if own != nil {
			d.own, changed = own, true
		}
		if r != nil {
			reports = append(reports, *r)
		}
	}
	if changed {
		d.publish()
	}
	return reports
}

// config gives the endpoint's configuration, with its session cache.
func (d *dialer) config(addr netip.AddrPort) (*tls.Config, []report) {
	d.mu.Lock()
	defer d.mu.Unlock()
	reports := d.refresh()
	if cfg := d.configs[addr]; cfg != nil {
		return cfg, reports
	}
	if len(d.configs) >= configsMost {
		clear(d.configs)
	}
	cfg := d.base.Clone()
	if cfg.ServerName == "" {
		// No SNI is sent for an address, but the certificate must be for it.
		cfg.ServerName = addr.Addr().Unmap().WithZone("").String()
	}
	if d.cfg.Identities == nil {
		d.named(cfg, newSessions())
	}
	d.configs[addr] = cfg
	return cfg, reports
}

// prepare gives the configuration of one handshake. found is told who the
// other side is, where it is a workload. Not on a loop.
func (d *dialer) prepare(addr netip.AddrPort, found *verdict) (*tls.Config, error) {
	cfg, reports := d.config(addr)
	if d.cfg.Reloaded != nil {
		for _, r := range reports {
			d.cfg.Reloaded(r.name, r.err)
		}
	}
	if d.cfg.Identities == nil {
		return cfg, nil
	}
	return d.authenticate(cfg, found)
}

// Lend implements wire.Lender.
func (d *dialer) Lend(addr netip.AddrPort) (*tls.Config, error) {
	cfg, err := d.prepare(addr, new(verdict))
	if err != nil {
		return nil, err
	}
	cfg = cfg.Clone()
	if d.cfg.Identities == nil {
		d.named(cfg, nil)
	}
	return cfg, nil
}

// Dial implements wire.Dialer. OnOpen comes when the handshake is complete;
// what is written before waits for it.
func (d *dialer) Dial(l wire.Loop, addr netip.AddrPort, h wire.ConnHandler) wire.Conn {
	c := &conn{loop: l, handler: h, dialled: true, desk: d.security.desk(l)}
	s := newShake(c, d.security.dialling)
	s.opened = func() { c.handler.OnOpen() }
	s.failed = func(_ observe.Reason, err error) {
		if s.started {
			err = &wire.DialError{Addr: addr, Err: err, TLS: true}
		}
		c.handler.OnClose(err)
	}
	s.shown = d.shown
	s.prepare = func() error {
		cfg, err := d.prepare(addr, &s.found)
		if err == nil {
			c.tls = tls.Client(&c.pipe, cfg)
		}
		return err
	}
	c.shake = s
	c.pipe = pipe{conn: c, shake: s}
	c.raw = l.Dial(addr, c)
	return c
}
