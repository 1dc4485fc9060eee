package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/naru-mesh/naru/bench/peer"
)

// envoys is a pair with mutual TLS and HTTP/2 between them, as a mesh of
// sidecars has it; none without an envoy.
func (b *bench) envoys() error {
	program, err := exec.LookPath("envoy")
	if err != nil {
		return nil
	}
	if err := b.authority(); err != nil {
		return err
	}
	client, err := peer.FreePort()
	if err != nil {
		return err
	}
	inner, err := peer.FreePort()
	if err != nil {
		return err
	}
	common := fmt.Sprintf(`common_tls_context:
          tls_params: {tls_minimum_protocol_version: TLSv1_3, tls_maximum_protocol_version: TLSv1_3}
          alpn_protocols: [h2]
          tls_certificates: [{certificate_chain: {filename: %[1]s/leaf.pem}, private_key: {filename: %[1]s/leaf.key}}]
          validation_context: {trusted_ca: {filename: %[1]s/ca.pem}}`, b.dir)
	pids := make([]int, 0, 2)
	for name, text := range map[string]string{
		"outer": envoyConfig(client.Port(), "", inner.Port(), fmt.Sprintf(`
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
    transport_socket:
      name: envoy.transport_sockets.tls
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
        sni: bench
        %s`, common)),
		"inner": envoyConfig(inner.Port(), fmt.Sprintf(`
      transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          require_client_certificate: true
          %s`, strings.ReplaceAll(common, "\n", "\n  ")), b.origin.Port(), ""),
	} {
		file := filepath.Join(b.dir, name+".yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return err
		}
		cmd := exec.Command(program, "-c", file, "--concurrency", "1", "--disable-hot-restart", "--log-level", "error")
		if err := b.start(cmd, b.cpus); err != nil {
			return err
		}
		pids = append(pids, cmd.Process.Pid)
	}
	return b.add(&way{name: "Envoys, mTLS", addr: client, host: "bench", pids: pids})
}

func envoyConfig(port uint16, listenerTLS string, to uint16, cluster string) string {
	return fmt.Sprintf(`static_resources:
  listeners:
  - name: in
    address: {socket_address: {address: 127.0.0.1, port_value: %d}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: all
          codec_type: AUTO
          generate_request_id: true
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes: [{match: {prefix: "/"}, route: {cluster: next, timeout: 60s}}]
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}%s
  clusters:
  - name: next
    type: STATIC
    connect_timeout: 5s
    circuit_breakers: {thresholds: [{max_connections: 20000, max_pending_requests: 20000, max_requests: 20000}]}
    load_assignment:
      cluster_name: next
      endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %d}}}}]}]%s
`, port, listenerTLS, to, cluster)
}

// authority writes a root, and a certificate for both of them below it.
func (b *bench) authority() error {
	root, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	now := time.Now()
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bench root"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(48 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "bench"}, DNSNames: []string{"bench"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(48 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &root.PublicKey, root)
	if err != nil {
		return err
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, ca, &key.PublicKey, root)
	if err != nil {
		return err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	for name, block := range map[string]*pem.Block{
		"ca.pem": {Type: "CERTIFICATE", Bytes: caDER}, "leaf.pem": {Type: "CERTIFICATE", Bytes: leafDER}, "leaf.key": {Type: "PRIVATE KEY", Bytes: keyDER},
	} {
		if err := os.WriteFile(filepath.Join(b.dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			return err
		}
	}
	return nil
}
