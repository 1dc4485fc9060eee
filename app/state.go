package app

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/naru-mesh/naru/identity"
	"github.com/naru-mesh/naru/store"
	"github.com/naru-mesh/naru/store/etcd"
	"github.com/naru-mesh/naru/store/memory"
)

// StateOptions say where the state of a control plane is that several replicas
// share. The zero value is one replica, with its state in Data.
type StateOptions struct {
	// Etcd are the members of an etcd outside ("https://10.0.0.9:2379"). Cert,
	// Key and CA are PEM files: what is shown to them, and who may have signed
	// what they show. Without CA that is the system's.
	Etcd      []string
	EtcdFiles etcd.Files
	// Peers are all control planes that keep the state together, this one too,
	// as NAME=URL ("https://10.0.0.1:2380"), where NAME is its --node. They count
	// with the first start only.
	Peers     []string
	PeerFiles etcd.Files
	// PeerListen is the address for the others; "" is that of the own URL.
	PeerListen string
	// Join: the others run already, and expect this one.
	Join bool
}

// openState opens a control plane's store, and what seals the keys in it.
func openState(o *MeshOptions, log *slog.Logger) (store.Store, *identity.Sealer, error) {
	s := &o.State
	shared := len(s.Etcd) + len(s.Peers)
	switch {
	case len(s.Etcd) > 0 && len(s.Peers) > 0:
		return nil, nil, errors.New("--etcd and --peer exclude each other: the state is in one place")
	case len(s.Peers) > 0 && o.Data == "":
		return nil, nil, errors.New("--peer: --data FOLDER says where this one's part of the state is")
	case shared > 0 && o.SealKey == "":
		return nil, nil, errors.New("--seal-key FILE: control planes that share their state need the same key (make one with: openssl rand -hex 32)")
	case len(s.Peers) == 0 && (s.PeerFiles != etcd.Files{} || s.PeerListen != "" || s.Join):
		return nil, nil, errors.New("--peer-cert, --peer-key, --peer-ca, --peer-listen and --peer-join go with --peer NAME=URL")
	case len(s.Etcd) == 0 && s.EtcdFiles != etcd.Files{}:
		return nil, nil, errors.New("--etcd-cert, --etcd-key and --etcd-ca go with --etcd URL")
	case shared == 0 && o.Data == "":
		sealer, err := identity.NewSealer(make([]byte, 32)) // what is sealed lives no longer than the key
		return memory.New(), sealer, err
	}
	sealer, err := identity.OpenSealer(o.SealKey, o.Data)
	if err != nil {
		return nil, nil, err
	}
	options := etcd.Options{Log: log}
	if len(s.Etcd) > 0 {
		options.Endpoints = s.Etcd
		if strings.HasPrefix(s.Etcd[0], "https:") || s.EtcdFiles != (etcd.Files{}) {
			if options.TLS, err = outsideTLS(s.EtcdFiles); err != nil {
				return nil, nil, err
			}
		}
	} else {
		options.Dir, options.Listen, options.Join, options.PeerTLS = filepath.Join(o.Data, "etcd"), s.PeerListen, s.Join, s.PeerFiles
		if options.Peers, err = peersOf(s.Peers); err != nil {
			return nil, nil, err
		}
		if len(s.Peers) > 0 {
			options.Name = o.Node
		}
	}
	opened, err := etcd.Open(context.Background(), options)
	if err != nil {
		return nil, nil, err
	}
	return opened, sealer, nil
}

// peersOf reads NAME=URL.
func peersOf(list []string) (map[string]string, error) {
	if len(list) == 0 {
		return nil, nil
	}
	all := make(map[string]string, len(list))
	for _, one := range list {
		name, url, ok := strings.Cut(one, "=")
		if !ok || name == "" || url == "" {
			return nil, fmt.Errorf("--peer %s: write NAME=URL, for example plane-1=https://10.0.0.1:2380", one)
		}
		if all[name] != "" {
			return nil, fmt.Errorf("--peer %s: there are two of that name", one)
		}
		all[name] = url
	}
	return all, nil
}

// outsideTLS reads the certificate at each handshake, so that a renewed one
// needs no restart.
func outsideTLS(f etcd.Files) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if f.CA != "" {
		text, err := os.ReadFile(f.CA)
		if err != nil {
			return nil, fmt.Errorf("--etcd-ca: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("--etcd-ca %s: there is no certificate in it", f.CA)
		}
	}
	if (f.Cert == "") != (f.Key == "") {
		return nil, fmt.Errorf("--etcd-cert and --etcd-key go together: only %s is given", cmp.Or(f.Cert, f.Key))
	}
	if f.Cert == "" {
		return c, nil
	}
	read := func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(f.Cert, f.Key)
		if err != nil {
			return nil, fmt.Errorf("--etcd-cert %s: %w", f.Cert, err)
		}
		return &pair, nil
	}
	if _, err := read(nil); err != nil {
		return nil, err
	}
	c.GetClientCertificate = read
	return c, nil
}
