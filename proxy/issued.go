package proxy

import (
	"context"
	"crypto/tls"

	"github.com/naru-mesh/naru/identity"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/route"
	"github.com/naru-mesh/naru/wire"
)

// issued implements wire.Certifier for a port: the listener that a name
// belongs to says who gives its certificate.
type issued struct {
	hosts    *route.Hosts[*listener]
	nameless *listener // for clients that name nobody: the first with an Issuance
	issuers  map[model.IssuedBy]identity.Issuer
}

// certifier gives nil where no listener of e gets certificates by itself.
func (c *compiler) certifier(e *entrance) wire.Certifier {
	for _, l := range e.listeners {
		if l.noun.Issuance != nil && c.issuers[l.noun.Issuance.By] != nil {
			return &issued{hosts: e.hosts, nameless: l, issuers: c.issuers}
		}
	}
	return nil
}

// issuer gives who has the certificates for a client, and the listener that
// they are for; nil where nobody has.
func (i *issued) issuer(hello *tls.ClientHelloInfo) (identity.Issuer, string) {
	l := i.nameless
	if hello.ServerName != "" {
		l, _ = i.hosts.FindString(hello.ServerName)
	}
	if l == nil || l.noun.Issuance == nil {
		return nil, ""
	}
	return i.issuers[l.noun.Issuance.By], l.noun.Name
}

func (i *issued) Certificate(hello *tls.ClientHelloInfo) *tls.Certificate {
	from, listener := i.issuer(hello)
	if from == nil {
		return nil
	}
	return from.Certificate(listener, hello)
}

func (i *issued) Issue(ctx context.Context, hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	from, listener := i.issuer(hello)
	if from == nil {
		return nil, nil
	}
	return from.Issue(ctx, listener, hello)
}

func (i *issued) Challenge(hello *tls.ClientHelloInfo) *tls.Certificate {
	for _, from := range i.issuers {
		if cert := from.Challenge(hello); cert != nil {
			return cert
		}
	}
	return nil
}

// challenged answers an authority that wants to know whether a name leads here
// (RFC 8555 section 8.3), before any route, redirects to https included: no
// route could know what to say. Where nobody has asked for the certificate it
// is a request like any other.
func (x *exchange) challenged() bool {
	const n = len(identity.ChallengePath)
	if len(x.Request.Path) <= n || string(x.Request.Path[:n]) != identity.ChallengePath {
		return false
	}
	if m := string(x.Request.Method); m != "GET" && m != "HEAD" {
		return false
	}
	for _, from := range x.w.proxy.opt.Issuers {
		if body := from.Answer(x.Request.Authority, x.Request.Path); body != nil {
			x.Reply(observe.Challenged, 200, body)
			x.reply()
			return true
		}
	}
	return false
}
