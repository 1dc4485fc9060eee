package secure

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/netip"
	"sync"

	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// dialer implements wire.Dialer for one service.
type dialer struct {
	security *Security
	base     tls.Config

	mu sync.Mutex // once for each connection
	// configs has one for each endpoint, because sessions resume only where
	// they began: endpoints of one name rarely share their ticket keys.
	configs map[netip.AddrPort]*tls.Config
}

// configsMost bounds the endpoints that are remembered; beyond it all are
// forgotten, which costs each one full handshake.
const configsMost = 1024

// Client implements wire.Security. The CA file is read now.
func (s *Security) Client(cfg *wire.ClientTLS) (wire.Dialer, error) {
	d := &dialer{security: s, configs: map[netip.AddrPort]*tls.Config{}}
	d.base.ServerName = cfg.ServerName
	d.base.InsecureSkipVerify = cfg.Insecure
	d.base.NextProtos = cfg.Protocols
	d.base.MinVersion = tls.VersionTLS12
	d.base.DynamicRecordSizingDisabled = true
	if cfg.CAFile != "" || len(cfg.CA) > 0 {
		pem, err := read("CA", cfg.CAFile, cfg.CA)
		if err != nil {
			return nil, err
		}
		if d.base.RootCAs, err = roots(called("CA", cfg.CAFile), pem); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// roots reads every certificate of a bundle.
func roots(name string, text []byte) (*x509.CertPool, error) {
	if _, err := firstBlock(name, text, func(t string) bool { return t == "CERTIFICATE" }, "CERTIFICATE"); err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(bytes.TrimSpace(text)) {
		return nil, fmt.Errorf("%s: no certificate in it can be read", name)
	}
	return pool, nil
}

// config gives the endpoint's configuration, with its session cache.
func (d *dialer) config(addr netip.AddrPort) *tls.Config {
	d.mu.Lock()
	defer d.mu.Unlock()
	if cfg := d.configs[addr]; cfg != nil {
		return cfg
	}
	if len(d.configs) >= configsMost {
		clear(d.configs)
	}
	cfg := d.base.Clone()
	if cfg.ServerName == "" {
		// No SNI is sent for an address, but the certificate must be for it.
		cfg.ServerName = addr.Addr().Unmap().WithZone("").String()
	}
	cfg.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	d.configs[addr] = cfg
	return cfg
}

// Dial implements wire.Dialer. OnOpen comes when the handshake is complete;
// what is written before waits for it.
func (d *dialer) Dial(l wire.Loop, addr netip.AddrPort, h wire.ConnHandler) wire.Conn {
	c := &conn{loop: l, handler: h, desk: d.security.desk(l)}
	s := newShake(c, d.security.dialling)
	s.opened = func() { c.handler.OnOpen() }
	s.failed = func(_ observe.Reason, err error) {
		if s.started {
			err = &wire.DialError{Addr: addr, Err: err, TLS: true}
		}
		c.handler.OnClose(err)
	}
	c.shake = s
	c.pipe = pipe{conn: c, shake: s}
	c.tls = tls.Client(&c.pipe, d.config(addr))
	c.raw = l.Dial(addr, c)
	return c
}
