package identity

import (
	"errors"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// Leeway is by how much clocks may differ where a JWT-SVID is checked.
const Leeway = time.Minute

// maxToken bounds a JWT-SVID in bytes: it has to fit into a header field.
const maxToken = 16 << 10

// VerifyJWT judges a JWT-SVID for an audience at a time (JWT-SVID, section 4
// and 5), and gives the identity and all claims. Errors wrap ErrBadSVID and say
// whose it is and why it is refused.
func (v *Verifier) VerifyJWT(token, audience string, now time.Time) (ID, map[string]any, error) {
	if len(token) > maxToken {
		return "", nil, refuse("", "the token has %d bytes, %d are allowed", len(token), maxToken)
	}
	// Asymmetric algorithms only (section 3.1): "none" and keys known to both
	// would let whoever checks sign, too.
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512,
		jose.ES256, jose.ES384, jose.ES512, jose.PS256, jose.PS384, jose.PS512})
	if err != nil {
		return "", nil, refuse("", "not a JWT-SVID: %w", err)
	}
	var plain jwt.Claims
	if err := parsed.UnsafeClaimsWithoutVerification(&plain); err != nil {
		return "", nil, refuse("", "not a JWT-SVID: %w", err)
	}
	id, err := ParseID(plain.Subject)
	if err != nil {
		return "", nil, refuse("", "the subject is %w", err)
	}
	head := parsed.Headers[0] // ParseSigned takes exactly one
	typ, hasType := head.ExtraHeaders[jose.HeaderType]
	d := v.domains[id.TrustDomain()]
	switch {
	case hasType && typ != "JWT" && typ != "JOSE":
		return "", nil, refuse(string(id), "the type of the token is neither JWT nor JOSE")
	case d == nil:
		return "", nil, refuse(string(id), "trust domain %s is not ours, and we are not federated with it", id.TrustDomain())
	}
	key := d.bundle.Keys[head.KeyID]
	if key == nil {
		return "", nil, refuse(string(id), "the bundle of %s has no key %q", id.TrustDomain(), head.KeyID)
	}
	claims := map[string]any{}
	if err := parsed.Claims(key, &claims); err != nil {
		return "", nil, refuse(string(id), "the signature is wrong: %w", err)
	}
	switch {
	case plain.Expiry == nil:
		return "", nil, refuse(string(id), "the token never expires")
	case audience == "" || !plain.Audience.Contains(audience):
		return "", nil, refuse(string(id), "the token is for %s, not for %q", strings.Join(plain.Audience, ", "), audience)
	}
	if f := v.forgotten.token(id, plain.IssuedAt.Time(), now); f != nil && id.TrustDomain() == v.own {
		return "", nil, refuse(string(id), "it is forgotten: %s", f)
	}
	switch err := plain.ValidateWithLeeway(jwt.Expected{Time: now}, Leeway); {
	case errors.Is(err, jwt.ErrExpired):
		return "", nil, refuse(string(id), "the token expired at %s, and it is %s", stamp(plain.Expiry.Time()), stamp(now))
	case err != nil:
		return "", nil, refuse(string(id), "%w (is a clock wrong?)", err)
	}
	return id, claims, nil
}
