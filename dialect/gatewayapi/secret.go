package gatewayapi

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"

	core "k8s.io/api/core/v1"

	"github.com/naru-mesh/naru/model"
)

// caKey is the key of a bundle of authorities in a ConfigMap or Secret.
const caKey = "ca.crt"

// secret is a Secret: a certificate, a bundle of authorities, or neither.
type secret struct {
	object
	chain, private []byte
	// ca is a bundle of authorities, caWrong why it cannot be used.
	ca      []byte
	caWrong string
	// wrong is why chain and private cannot be used as a certificate; "" when they
	// can.
	wrong string
}

// secret reads a Secret. What kind of Secret it is matters less than what is
// in it, so that a file may leave out its type.
func (r *reader) secret(k *servedKind) *secret {
	var in core.Secret
	r.decode(&in)
	o := r.object(k, &in.ObjectMeta)
	if o == nil {
		return nil
	}
	get := func(name string) []byte {
		if text, ok := in.StringData[name]; ok {
			return []byte(text)
		}
		return in.Data[name]
	}
	s := &secret{object: *o, chain: get(core.TLSCertKey), private: get(core.TLSPrivateKeyKey), ca: get(caKey)}
	if len(s.ca) > 0 {
		s.caWrong = checkAuthorities(s.ca)
	}
	switch {
	case len(s.chain) == 0:
		s.wrong = "it has no " + core.TLSCertKey
	case len(s.private) == 0:
		s.wrong = "it has no " + core.TLSPrivateKeyKey
	default:
		if _, err := tls.X509KeyPair(s.chain, s.private); err != nil {
			s.wrong = err.Error()
		}
	}
	return s
}

// certificate makes the noun of a Secret.
func (s *secret) certificate() *model.Certificate {
	return &model.Certificate{Name: s.String(), Chain: s.chain, Key: s.private, Origin: s.at}
}

// configMap is a ConfigMap, of which only a bundle of authorities matters.
type configMap struct {
	object
	ca []byte
	// wrong is why ca cannot be used; "" when it can, or is empty.
	wrong string
}

// configMap reads a ConfigMap.
func (r *reader) configMap(k *servedKind) *configMap {
	var in core.ConfigMap
	r.decode(&in)
	o := r.object(k, &in.ObjectMeta)
	if o == nil {
		return nil
	}
	c := &configMap{object: *o, ca: []byte(in.Data[caKey])}
	if len(c.ca) > 0 {
		c.wrong = checkAuthorities(c.ca)
	}
	return c
}

// checkAuthorities says what is wrong with a bundle of authorities, or "".
func checkAuthorities(bundle []byte) string {
	some := false
	for rest := bundle; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return err.Error()
		}
		some = true
	}
	if !some {
		return "it holds no certificate in PEM"
	}
	return ""
}

// join puts PEM bundles one after the other.
func join(bundles [][]byte) []byte {
	var out []byte
	for _, b := range bundles {
		out = append(out, bytes.TrimSpace(b)...)
		out = append(out, '\n')
	}
	return out
}
