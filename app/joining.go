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
	// Any, or Namespaces and Accounts, say what may run there; Addresses at
	// which besides that of their connection.
	Any                             bool
	Namespaces, Accounts, Addresses []string
}

// joiners reads the file.
func (o *JoinOptions) joiners() ([]link.Joiner, error) {
	if o.CA == "" {
		if o.Nodes != "" || o.Any || len(o.Namespaces)+len(o.Accounts)+len(o.Addresses) > 0 {
			return nil, fmt.Errorf("--join-nodes, --join-namespace, --join-account, --join-any and --join-address go with --join-ca FILE")
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
	g := link.Grant{Node: pick(o.Nodes, "*"), Any: o.Any, Namespaces: o.Namespaces, Accounts: o.Accounts, Addresses: o.Addresses}
	if _, err := path.Match(g.Node, ""); err != nil {
		return nil, fmt.Errorf("--join-nodes %s: write a name or a pattern such as web-*", g.Node)
	}
	if !o.Any && len(o.Namespaces)+len(o.Accounts) == 0 {
		return nil, fmt.Errorf("--join-ca: what may run on nodes that join so? --join-account orders, again for each (shop/orders for one of namespace shop), --join-namespace shop for all of a namespace, or --join-any")
	}
	if err := g.Check(); err != nil {
		return nil, fmt.Errorf("--join-ca: %w", err)
	}
	return []link.Joiner{{Roots: roots, Grant: g}}, nil
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
