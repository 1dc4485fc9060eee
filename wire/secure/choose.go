package secure

import (
	"crypto/tls"
	"errors"
	"slices"
	"strings"

	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// choice is a certificate that a client can be given.
type choice struct {
	pair  *tls.Certificate // nil where of says whose
	of    *wire.Credential // with an Identity
	label any
}

// certificate is the one to show now, nil where an identity has none.
func (c *choice) certificate() *tls.Certificate {
	if c.of != nil {
		return c.of.Identities.Certificate(c.of.Identity)
	}
	return c.pair
}

// show is for crypto/tls. Of nil there is none; crypto/tls then says that it
// does not know the name.
func (c *choice) show() (*tls.Certificate, error) {
	if c == nil {
		return nil, nil
	}
	pair := c.certificate()
	if pair == nil && c.of != nil {
		return nil, &wire.PeerError{Why: observe.NoIdentity, Who: c.of.Identity, Err: errNoCertificate}
	}
	return pair, nil
}

var errNoCertificate = errors.New("there is no certificate yet")

// directory finds the certificates for a server name. A name given with the
// credential comes before the names in certificates, an exact name before a
// wildcard, a longer wildcard before a shorter one, and a credential before
// those listed after it.
type directory struct {
	given, named map[string][]*choice // exact, lower case
	// Wildcards without "*.": given ones cover any number of labels (as a
	// listener's hostname does), those of certificates exactly one (RFC 9525).
	givenWild, namedWild map[string][]*choice
	// fallback is for clients without a known name: the first credential, and
	// those for the same names.
	fallback []*choice
}

func newDirectory(certs []*certificate) *directory {
	d := &directory{
		given: map[string][]*choice{}, named: map[string][]*choice{},
		givenWild: map[string][]*choice{}, namedWild: map[string][]*choice{},
	}
	if len(certs) == 0 {
		return d // all certificates are the Certifier's
	}
	first := certs[0]
	for _, c := range certs {
		ch := &choice{pair: c.pair, label: c.label}
		if c.cfg.Identity != "" {
			ch.of = &c.cfg
		}
		if c == first || c.cfg.Hostname == first.cfg.Hostname && slices.Equal(c.names(), first.names()) {
			d.fallback = append(d.fallback, ch)
		}
		if c.cfg.Hostname != "" {
			add(d.given, d.givenWild, c.cfg.Hostname, ch)
			continue
		}
		for _, n := range c.names() {
			add(d.named, d.namedWild, n, ch)
		}
	}
	return d
}

func add(exact, wild map[string][]*choice, name string, c *choice) {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if rest, ok := strings.CutPrefix(name, "*."); ok {
		wild[rest] = append(wild[rest], c)
		return
	}
	exact[name] = append(exact[name], c)
}

// choose gives what suits the client best: among those for its name, or else
// the default. nil where there is no certificate at all.
func (d *directory) choose(hello *tls.ClientHelloInfo) *choice {
	if c := d.own(hello); c != nil {
		return c
	}
	return best(d.fallback, hello)
}

// own gives what is meant for the client's name, or nil.
func (d *directory) own(hello *tls.ClientHelloInfo) *choice {
	return best(d.find(strings.ToLower(hello.ServerName)), hello)
}

func best(list []*choice, hello *tls.ClientHelloInfo) *choice {
	if len(list) == 0 {
		return nil
	}
	if len(list) > 1 {
		// The name is settled; only the algorithms matter now. Asked with the
		// name, crypto/tls would refuse a certificate whose own names do not
		// cover the credential's hostname.
		nameless := *hello
		nameless.ServerName = ""
		for _, c := range list {
			if pair := c.certificate(); pair != nil && nameless.SupportsCertificate(pair) == nil {
				return c
			}
		}
	}
	return list[0]
}

func (d *directory) find(name string) []*choice {
	if name == "" {
		return nil
	}
	if l := d.given[name]; l != nil {
		return l
	}
	if l := d.named[name]; l != nil {
		return l
	}
	_, rest, more := strings.Cut(name, ".")
	for first := true; more; first = false {
		if l := d.givenWild[rest]; l != nil {
			return l
		}
		if l := d.namedWild[rest]; l != nil && first {
			return l
		}
		_, rest, more = strings.Cut(rest, ".")
	}
	return nil
}
