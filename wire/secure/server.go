package secure

import (
	"crypto/tls"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// server implements wire.ServerSecurity.
type server struct {
	security *Security
	// base is what every handshake begins with. It lives as long as the server
	// because crypto/tls keeps, and rotates, the keys of session tickets in it:
	// sessions resume on any loop and after any Update or reload.
	base    *tls.Config
	program atomic.Pointer[program]

	mu      sync.Mutex // of Update, reload and Close
	certs   []*certificate
	clients *trust        // their authorities; nil where they are not asked
	stop    chan struct{} // of the watcher; nil while there is none
	closed  bool
	over    sync.WaitGroup
}

// program is one configuration, complete and never changed.
type program struct {
	cfg     *wire.ServerTLS
	tls     *tls.Config
	choice  *directory
	clients *trust
}

// Server implements wire.Security.
func (s *Security) Server(cfg *wire.ServerTLS) (wire.ServerSecurity, error) {
	sv := &server{security: s}
	sv.base = &tls.Config{GetConfigForClient: sv.configFor}
	if err := sv.Update(cfg); err != nil {
		return nil, err
	}
	return sv, nil
}

// Secure implements wire.ServerSecurity.
func (sv *server) Secure(raw wire.Conn, ready func(wire.Conn)) {
	cfg := sv.program.Load().cfg
	c := &conn{raw: raw, loop: raw.Loop()}
	c.desk = sv.security.desk(c.loop)
	s := newShake(c, sv.security.accepting)
	s.security = sv.security
	s.opened = func() { ready(c) }
	s.failed = func(why observe.Reason, err error) {
		// A peer that left without a word (a port check) has not failed.
		if cfg.Failed == nil || !s.started && why != observe.HandshakeTimeout {
			return
		}
		if why == observe.HandshakeFailed {
			why, err = wire.HandshakeReason(err)
			why = named(cfg.ClientAuth, why)
		}
		cfg.Failed(why, raw.Peer().Remote, err)
	}
	c.shake = s
	c.pipe = pipe{conn: c, shake: s}
	c.tls = tls.Server(&c.pipe, sv.base)
	raw.SetHandler(c)
	switch {
	case cfg.Handshake == 0:
		c.loop.Arm(&s.timer, handshakeBound)
	case cfg.Handshake > 0:
		c.loop.Arm(&s.timer, cfg.Handshake)
	}
}

// configFor chooses the credential here rather than in GetCertificate, which
// is not asked when a session resumes.
func (sv *server) configFor(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	p := sv.program.Load()
	s := hello.Conn.(*pipe).shake
	s.program = p
	if p.cfg.Certifier == nil {
		s.chosen = p.choice.choose(hello)
		return p.judged(p.tls, &s.found), nil
	}
	return p.certify(s, hello)
}

func chosenCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	return hello.Conn.(*pipe).shake.chosen.show()
}

// Update implements wire.ServerSecurity.
func (sv *server) Update(cfg *wire.ServerTLS) error {
	if err := checkServer(cfg); err != nil {
		return err
	}
	sv.mu.Lock()
	defer sv.mu.Unlock()
	clients, err := newClientTrust(cfg.ClientAuth)
	if err != nil {
		return err
	}
	certs := make([]*certificate, len(cfg.Credentials))
	watched := clients != nil && clients.file != ""
	for i := range cfg.Credentials {
		cert := &certificate{cfg: cfg.Credentials[i], seen: look(&cfg.Credentials[i])}
		if err := cert.load(sv.certs); err != nil {
			return fmt.Errorf("credential %q: %w", cert.cfg.Name, err)
		}
		certs[i] = cert
		watched = watched || cert.fromFiles()
	}
	sv.certs, sv.clients = certs, clients
	sv.publish(cfg)
	if watched && sv.stop == nil && !sv.closed {
		sv.stop = make(chan struct{})
		sv.over.Add(1)
		go sv.watch(sv.stop)
	}
	return nil
}

// publish makes handshakes to come use cfg and the certificates as they are.
func (sv *server) publish(cfg *wire.ServerTLS) {
	p := &program{
		cfg:     cfg,
		choice:  newDirectory(sv.certs),
		clients: sv.clients,
		tls: &tls.Config{
			GetCertificate:              chosenCertificate,
			MinVersion:                  max(cfg.MinVersion, tls.VersionTLS12),
			NextProtos:                  cfg.Protocols,
			DynamicRecordSizingDisabled: true,
		},
	}
	p.ask(p.tls)
	sv.program.Store(p)
}

func checkServer(cfg *wire.ServerTLS) error {
	if len(cfg.Credentials) == 0 && cfg.Certifier == nil {
		return errors.New("no credential: TLS needs a certificate and its key")
	}
	if err := checkClientAuth(cfg.ClientAuth); err != nil {
		return err
	}
	switch cfg.MinVersion {
	case 0, tls.VersionTLS12, tls.VersionTLS13:
		return nil
	}
	return fmt.Errorf("minimum version %#04x: must be TLS 1.2 or TLS 1.3", cfg.MinVersion)
}

// Close implements wire.ServerSecurity.
func (sv *server) Close() {
	sv.mu.Lock()
	stop := sv.stop
	sv.stop, sv.closed = nil, true
	sv.mu.Unlock()
	if stop != nil {
		close(stop)
	}
	sv.over.Wait()
}
