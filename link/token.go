package link

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/naru-mesh/naru/store"
)

// DefaultTokenTTL and MaxTokenTTL bound how long a token waits to be used.
const (
	DefaultTokenTTL = time.Hour
	MaxTokenTTL     = 30 * 24 * time.Hour
	// usedFor is how long a used or expired token is remembered, so that its
	// reuse can be told from a guess.
	usedFor = 24 * time.Hour
)

// Keys in the store.
const (
	tokensBelow = "link/tokens/"
	nodesBelow  = "link/nodes/"
)

// tokenRecord is what the store knows of a token: never its secret.
type tokenRecord struct {
	Grant   Grant     `json:"grant"`
	Expires time.Time `json:"expires"`
	Created time.Time `json:"created"`
	// UsedBy is the node that it was used for, UsedKey the hash of its public
	// key: who has the private one has not got the answer, and may ask again.
	UsedBy  string     `json:"usedBy,omitempty"`
	UsedKey string     `json:"usedKey,omitempty"`
	UsedAt  *time.Time `json:"usedAt,omitempty"`
}

// nodeRecord is what the store knows of a node that has joined.
type nodeRecord struct {
	Name   string    `json:"name"`
	Grant  Grant     `json:"grant"`
	Joined time.Time `json:"joined"`
	// By is "token", or the subject of the certificate that it joined with.
	By string `json:"by"`
	// Set: Grant was changed since. Joining again by a certificate, which each
	// start may do, does not change it back; a token does, which somebody made.
	Set bool `json:"set,omitempty"`
	// Since is when the certificate begins that it has joined with. Older ones
	// are of a machine that had the name before.
	Since time.Time `json:"since,omitzero"`

	changed store.Revision // of the record, where it was read
}

// Token is a token, taken apart.
type Token struct {
	// Root is the SHA-256 of the root certificate of the control plane: the
	// only thing that a node believes before it has joined.
	Root        [sha256.Size]byte
	Secret      [32]byte
	TrustDomain string
	// Servers are addresses, host:port.
	Servers []string
}

// byToken is how most nodes have joined.
const byToken = "token"

const tokenPrefix = "naru1."

// String is what a person copies: "naru1." and base64url.
func (t Token) String() string {
	raw := slices.Concat(t.Root[:], t.Secret[:], []byte(t.TrustDomain+"\n"+strings.Join(t.Servers, ",")))
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(raw)
}

// ParseToken is the reverse of Token.String.
func ParseToken(s string) (t Token, err error) {
	text, ok := strings.CutPrefix(strings.TrimSpace(s), tokenPrefix)
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if !ok || err != nil || len(raw) < len(t.Root)+len(t.Secret) {
		return t, errors.New(`this is not a token: it begins with "naru1." and is one word, as naru token create printed it`)
	}
	raw = raw[copy(t.Root[:], raw):]
	raw = raw[copy(t.Secret[:], raw):]
	domain, servers, _ := strings.Cut(string(raw), "\n")
	t.TrustDomain = domain
	if servers != "" {
		t.Servers = strings.Split(servers, ",")
	}
	for _, s := range t.Servers {
		host, port, err := net.SplitHostPort(s)
		if number, _ := strconv.ParseUint(port, 10, 16); err != nil || number == 0 || !plain(host) || !plain(domain) {
			return t, errors.New("this token has lost some of its characters, or got others, at its end: copy it again, as naru token create printed it")
		}
	}
	return t, nil
}

// plain says whether a name or an address has no character that none has.
func plain(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

// RootHash is what a token pins.
func RootHash(root *x509.Certificate) [sha256.Size]byte { return sha256.Sum256(root.Raw) }

// CreateToken makes a token that one node may join with once, within ttl (0 is
// DefaultTokenTTL), and remembers its hash in st. servers and the rest are
// hints for the node.
func CreateToken(ctx context.Context, st store.Store, g Grant, ttl time.Duration, now time.Time, root *x509.Certificate, trustDomain string, servers []string) (Token, error) {
	t := Token{Root: RootHash(root), TrustDomain: trustDomain, Servers: servers}
	switch err := g.Check(); {
	case err != nil:
		return t, err
	case ttl < 0 || ttl > MaxTokenTTL:
		return t, fmt.Errorf("a token cannot wait for %v: at most %v", ttl, MaxTokenTTL)
	case ttl == 0:
		ttl = DefaultTokenTTL
	}
	if _, err := rand.Read(t.Secret[:]); err != nil {
		return t, err
	}
	value, err := json.Marshal(tokenRecord{Grant: g, Created: now.UTC(), Expires: now.Add(ttl).UTC()})
	if err != nil {
		return t, err
	}
	lease, err := st.Lease(ctx, ttl+usedFor)
	if err != nil {
		return t, fmt.Errorf("create a token: %w", err)
	}
	key := tokenKey(t.Secret[:])
	_, done, err := st.Txn(ctx, []store.Cond{{Key: key}}, store.Op{Key: key, Value: value, Lease: lease})
	if err != nil || !done {
		return t, fmt.Errorf("create a token: %w", errors.Join(err, st.Revoke(ctx, lease)))
	}
	return t, nil
}

// keyOf names the public key of a CSR. Whether the CSR is signed with it the
// authority checks.
func keyOf(csr []byte) (string, error) {
	request, err := x509.ParseCertificateRequest(csr)
	if err != nil {
		return "", err
	}
	hash := sha256.Sum256(request.RawSubjectPublicKeyInfo)
	return hex.EncodeToString(hash[:]), nil
}

func tokenKey(secret []byte) string {
	hash := sha256.Sum256(secret)
	return tokensBelow + hex.EncodeToString(hash[:])
}

// Why a join is refused.
var (
	errUnknownToken = errors.New("the token is wrong: this control plane has not made it, or has forgotten it")
	errExpiredToken = errors.New("the token has expired")
	errUsedToken    = errors.New("the token was used")
	errNodeName     = errors.New("joining under another name")
	errNodeTaken    = errors.New("a node of this name has joined already; a token for exactly this name may replace it")
)

// checkToken gives the record of a token that could be used now, or that was
// used for the same node and key: then UsedAt is set, and it may be answered
// again. That is not a second use: without the key the answer is worth nothing,
// and a node whose connection broke at the wrong moment would be locked out.
func (s *Server) checkToken(ctx context.Context, secret []byte, node, key string) (store.Item, tokenRecord, error) {
	var r tokenRecord
	item, err := s.options.Store.Get(ctx, tokenKey(secret))
	if errors.Is(err, store.ErrNotFound) {
		return item, r, errUnknownToken
	} else if err != nil {
		return item, r, err
	}
	if err := json.Unmarshal(item.Value, &r); err != nil {
		return item, r, fmt.Errorf("the record of a token: %w", err)
	}
	switch ok, _ := path.Match(r.Grant.Node, node); {
	case r.UsedAt != nil && (r.UsedBy != node || r.UsedKey != key):
		return item, r, fmt.Errorf("%w: by node %s at %s; each is good once (naru token create makes another)", errUsedToken, r.UsedBy, r.UsedAt.Format(time.RFC3339))
	case !s.options.Now().Before(r.Expires):
		return item, r, fmt.Errorf("%w: at %s (naru token create makes another, with --ttl for longer)", errExpiredToken, r.Expires.Format(time.RFC3339))
	case !ok:
		return item, r, fmt.Errorf("%w: the token is for %s (--node says the name)", errNodeName, r.Grant.Node)
	}
	return item, r, nil
}

// useToken marks a token as used and writes the record of the node, both or
// neither: of any number that try at once, one gets true. One that was used is good
// for an answer that was lost, as long as what it led to stands.
func (s *Server) useToken(ctx context.Context, item store.Item, r tokenRecord, node, key string, since time.Time) error {
	if r.UsedAt != nil {
		return s.stands(ctx, node, *r.UsedAt)
	}
	now := s.options.Now().UTC()
	r.UsedBy, r.UsedKey, r.UsedAt = node, key, &now
	used, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return s.admit(ctx, nodeRecord{Name: node, Grant: r.Grant, Joined: now, By: byToken, Since: since},
		[]store.Cond{{Key: item.Key, Changed: item.Changed}}, errUsedToken,
		store.Op{Key: item.Key, Value: used, Lease: item.Lease})
}

// stands says whether a node is what it became at a time, by a token: one that was
// forgotten meanwhile, or whose name another machine has by now, would get by the
// token which it has used a certificate that is newer than all that is refused.
func (s *Server) stands(ctx context.Context, node string, since time.Time) error {
	r, _, err := nodeOf(ctx, s.options.Store, node)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return fmt.Errorf("%w: and the node that joined by it was forgotten since", errUsedToken)
	case err != nil:
		return err
	case !r.Joined.Equal(since):
		return fmt.Errorf("%w: and another machine has joined as node %s since", errUsedToken, node)
	}
	return nil
}

// admit writes the record of a node together with ops, if conds hold; lost is
// the error when they do not.
func (s *Server) admit(ctx context.Context, n nodeRecord, conds []store.Cond, lost error, ops ...store.Op) error {
	n.Grant.Node, n.By = cmpOr(n.Grant.Node, n.Name), cmpOr(n.By, byToken)
	exact := n.Grant.Node == n.Name
	key := nodesBelow + n.Name
	old, err := s.options.Store.Get(ctx, key)
	switch {
	case errors.Is(err, store.ErrNotFound):
		conds = append(conds, store.Cond{Key: key})
	case err != nil:
		return err
	case !exact:
		return errNodeTaken
	default:
		conds = append(conds, store.Cond{Key: key, Changed: old.Changed})
		var before nodeRecord
		if json.Unmarshal(old.Value, &before) == nil && before.Set && n.By != byToken {
			n.Grant, n.Set = before.Grant, true
		}
	}
	value, err := json.Marshal(n)
	if err != nil {
		return err
	}
	_, done, err := s.options.Store.Txn(ctx, conds, append(ops, store.Op{Key: key, Value: value})...)
	if err == nil && !done {
		err = lost
	}
	return err
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
