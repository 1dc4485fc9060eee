package app

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/naru-mesh/naru/identity"
	"github.com/naru-mesh/naru/identity/agent"
	"github.com/naru-mesh/naru/identity/ca"
	"github.com/naru-mesh/naru/identity/federation"
)

// endpointID is whose SVID our own bundle endpoint shows (https_spiffe): that
// of every replica.
func endpointID(trust string) identity.ID { return identity.ID("spiffe://" + trust + "/bundle") }

// bundleServer is our own bundle endpoint.
type bundleServer struct {
	listening string
	http      *http.Server
	agent     *agent.Agent
	release   func()
	over      chan struct{} // closed when it ends
}

func serveBundle(address, trust string, authority *ca.Authority, log *slog.Logger) (_ *bundleServer, err error) {
	b := &bundleServer{over: make(chan struct{})}
	if b.agent, err = agent.New(agent.Options{Authority: authority, Log: log}); err != nil {
		return nil, err
	}
	ln, err := net.Listen("tcp", address)
	if err != nil {
		b.agent.Close()
		return nil, fmt.Errorf("--bundle-listen: %w", err)
	}
	b.listening = ln.Addr().String()
	id := endpointID(trust)
	b.release = b.agent.Hold(id)
	own := func() *identity.Bundle {
		if all := b.agent.Bundles(); all != nil {
			return all.Own
		}
		return nil
	}
	b.http = &http.Server{
		Handler: federation.Handler(own), ReadHeaderTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: 30 * time.Second,
		MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug), // strangers' mistakes
	}
	tlsOf := federation.ServerTLS(id, b.agent.Certificate)
	go func() {
		defer close(b.over)
		if err := b.http.Serve(tls.NewListener(ln, tlsOf)); !errors.Is(err, http.ErrServerClosed) {
			log.Error("our bundle is not served any more", "error", err)
		}
	}()
	log.Info("our bundle is served", "url", "https://"+b.listening+"/", "endpoint", id)
	return b, nil
}

func (b *bundleServer) close() {
	_ = b.http.Close()
	<-b.over
	b.release()
	b.agent.Close()
}
