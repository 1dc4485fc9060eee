package app

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"os"
	"path"
	"strings"

	"github.com/naru-mesh/naru/link"
)

// JoinOptions let nodes join by certificates of an authority of somebody else.
// The zero value lets none.
type JoinOptions struct {
	// CA is a PEM file with its roots.
	CA string
	// Nodes is a pattern of names; "" is all. The certificate's common name, or
	// its first DNS name, must be the node's name.
	Nodes string
	// Namespaces and Accounts bound what may run there; none: any.
	Namespaces, Accounts []string
}

// joiners reads the file.
func (o *JoinOptions) joiners() ([]link.Joiner, error) {
	if o.CA == "" {
		if o.Nodes != "" || len(o.Namespaces)+len(o.Accounts) > 0 {
			return nil, fmt.Errorf("--join-nodes, --join-namespace and --join-account go with --join-ca FILE")
		}
		return nil, nil
	}
	text, err := os.ReadFile(o.CA)
	if err != nil {
		return nil, fmt.Errorf("--join-ca: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("--join-ca %s: there is no certificate in it", o.CA)
	}
	nodes := pick(o.Nodes, "*")
	if _, err := path.Match(nodes, ""); err != nil {
		return nil, fmt.Errorf("--join-nodes %s: write a name or a pattern such as web-*", nodes)
	}
	return []link.Joiner{{Roots: roots, Grant: link.Grant{Node: nodes, Namespaces: o.Namespaces, Accounts: o.Accounts}}}, nil
}

// credential fills in what joins instead of a token.
func (o *MeshOptions) credential(c *link.ClientOptions) error {
	c.TrustDomain = o.TrustDomain
	if o.Credential == "" {
		if o.RootHash != "" {
			return fmt.Errorf("--root-hash goes with --credential CERT,KEY; a token has it in it")
		}
		return nil
	}
	cert, key, ok := strings.Cut(o.Credential, ",")
	if !ok {
		return fmt.Errorf("--credential %s: write two files, CERT,KEY", o.Credential)
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return fmt.Errorf("--credential: %w", err)
	}
	root, err := hex.DecodeString(o.RootHash)
	if err != nil || len(root) != len(c.Root) {
		return fmt.Errorf("--root-hash %q: write the 64 digits that naru status shows on the control plane: by it the node knows the right one", o.RootHash)
	}
	c.Credential = &pair
	copy(c.Root[:], root)
	return nil
}
