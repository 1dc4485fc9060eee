package identity

import (
	"fmt"
	"strings"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// Bounds of an ID in bytes (SPIFFE-ID, section 2.3 and 2.1).
const (
	maxID          = 2048
	maxTrustDomain = 255
)

const scheme = "spiffe://"

// ParseID reads a SPIFFE ID, with a path or without, and gives it in canonical
// form: scheme and trust domain in lower case, of which the standard says that
// case does not count; the path as it is (SPIFFE-ID, section 2). Nothing else is
// repaired. Errors wrap ErrBadID and say what is wrong.
func ParseID(s string) (ID, error) {
	if len(s) > maxID {
		return "", fmt.Errorf("%w: it has %d bytes, %d are allowed", ErrBadID, len(s), maxID)
	}
	if len(s) < len(scheme) || !strings.EqualFold(s[:len(scheme)], scheme) {
		return "", fmt.Errorf("%w: %q does not begin with %s", ErrBadID, s, scheme)
	}
	domain, path := s[len(scheme):], ""
	if i := strings.IndexByte(domain, '/'); i >= 0 {
		domain, path = domain[:i], domain[i:]
	}
	if err := CheckTrustDomain(strings.ToLower(domain)); err != nil {
		return "", err
	}
	id, err := spiffeid.FromString(scheme + strings.ToLower(domain) + path)
	if err != nil {
		return "", fmt.Errorf("%w: %q: %w", ErrBadID, s, err)
	}
	return ID(id.String()), nil
}

// CheckTrustDomain says what is wrong with the name of a trust domain: lower
// case letters, digits, ".", "-" and "_", at most 255 (SPIFFE-ID, section 2.1).
// Errors wrap ErrBadID.
func CheckTrustDomain(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("%w: there is no trust domain", ErrBadID)
	case len(name) > maxTrustDomain:
		return fmt.Errorf("%w: the trust domain has %d bytes, %d are allowed", ErrBadID, len(name), maxTrustDomain)
	}
	for _, c := range []byte(name) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '.' && c != '-' && c != '_' {
			return fmt.Errorf("%w: trust domain %q has a %q (lower case letters, digits, \".\", \"-\" and \"_\" are allowed)", ErrBadID, name, c)
		}
	}
	return nil
}

// Path is what follows the trust domain: "/ns/shop/sa/orders", or "".
func (id ID) Path() string {
	rest := strings.TrimPrefix(string(id), scheme)
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		return rest[i:]
	}
	return ""
}
