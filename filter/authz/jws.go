package authz

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
)

// A passport is a JWS in compact form (RFC 7515 section 3.1) with ES256 or
// EdDSA. Its type keeps other tokens of the same keys, such as JWT-SVIDs, from
// passing for one (RFC 8725 section 3.11).
const passportType = "naru-passport+jwt"

// jwsHeader is the whole of a passport's header.
type jwsHeader struct {
	Alg string `json:"alg"`
	Kid string `json:"kid"`
	Typ string `json:"typ"`
}

// coding is base64url, which has one spelling for each content.
var coding = base64.RawURLEncoding.Strict()

// NewSign gives a function that signs claims with a P-256 or Ed25519 key, for
// MintOptions.Sign. kid is how verifiers find the public half.
func NewSign(key crypto.Signer, kid string) (func(claims map[string]any) (string, error), error) {
	alg, err := algorithmOf(key.Public())
	if err != nil {
		return nil, err
	}
	head, err := json.Marshal(jwsHeader{alg, kid, passportType})
	if err != nil {
		return nil, err
	}
	prefix := coding.EncodeToString(head) + "."
	return func(claims map[string]any) (string, error) {
		payload, err := json.Marshal(claims)
		if err != nil {
			return "", err
		}
		text := prefix + coding.EncodeToString(payload)
		sig, err := sign(key, alg, []byte(text))
		if err != nil {
			return "", err
		}
		return text + "." + coding.EncodeToString(sig), nil
	}, nil
}

func algorithmOf(key crypto.PublicKey) (string, error) {
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() {
			return "ES256", nil
		}
	case ed25519.PublicKey:
		return "EdDSA", nil
	}
	return "", fmt.Errorf("a key of type %T signs no passport: P-256 or Ed25519 does", key)
}

// point is an ECDSA signature as crypto.Signer gives it.
type point struct{ R, S *big.Int }

func sign(key crypto.Signer, alg string, text []byte) ([]byte, error) {
	if alg == "EdDSA" {
		return key.Sign(rand.Reader, text, crypto.Hash(0))
	}
	sum := sha256.Sum256(text)
	der, err := key.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		return nil, err
	}
	var p point
	if rest, err := asn1.Unmarshal(der, &p); err != nil || len(rest) > 0 || p.R.BitLen() > 256 || p.S.BitLen() > 256 {
		return nil, errors.New("the key gave something else than a signature")
	}
	sig := make([]byte, 64) // RFC 7518 section 3.4
	p.R.FillBytes(sig[:32])
	p.S.FillBytes(sig[32:])
	return sig, nil
}

// token is a JWS taken apart; nothing of it is believed yet.
type token struct {
	jwsHeader
	signed    []byte // lent
	payload   []byte
	signature []byte
}

// parseJWS is strict: one spelling, no unknown header field (which "crit" is).
func parseJWS(text []byte) (*token, error) {
	head, rest, ok1 := bytes.Cut(text, []byte{'.'})
	payload, sig, ok2 := bytes.Cut(rest, []byte{'.'})
	if !ok1 || !ok2 {
		return nil, errors.New("it is no token")
	}
	t := &token{signed: text[:len(text)-len(sig)-1]}
	raw, err := coding.AppendDecode(nil, head)
	if err == nil {
		in := json.NewDecoder(bytes.NewReader(raw))
		in.DisallowUnknownFields()
		err = in.Decode(&t.jwsHeader)
	}
	if err == nil {
		t.payload, err = coding.AppendDecode(nil, payload)
	}
	if err == nil {
		t.signature, err = coding.AppendDecode(nil, sig)
	}
	switch {
	case err != nil:
		return nil, errors.New("it is malformed")
	case t.Typ != passportType:
		return nil, fmt.Errorf("it is a token of another type, %.40q", t.Typ)
	}
	return t, nil
}

// checks says whether the signature is that of key. The key, not the token,
// says which algorithm it is.
func (t *token) checks(key crypto.PublicKey) bool {
	alg, err := algorithmOf(key)
	if err != nil || alg != t.Alg {
		return false
	}
	if k, ok := key.(ed25519.PublicKey); ok {
		return len(k) == ed25519.PublicKeySize && ed25519.Verify(k, t.signed, t.signature)
	}
	k, ok := key.(*ecdsa.PublicKey)
	if !ok || len(t.signature) != 64 {
		return false
	}
	sum := sha256.Sum256(t.signed)
	return ecdsa.Verify(k, sum[:], new(big.Int).SetBytes(t.signature[:32]), new(big.Int).SetBytes(t.signature[32:]))
}
