package short

import (
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/naru-mesh/naru/dialect"
	"github.com/naru-mesh/naru/model"
)

// balances are the values of balance.
func balances() (list []string) {
	for _, b := range model.Balances() {
		list = append(list, string(b))
	}
	return list
}

// checkBalance checks how a service's endpoints share its requests.
func (s *service) checkBalance(in *dialect.Decoder, n *yaml.Node) {
	if b := string(s.Balance); b != "" && !slices.Contains(balances(), b) {
		hint := ""
		if near := dialect.Nearest(b, balances()); near != "" {
			hint = "did you mean " + near + "?"
		}
		in.Problem(n, "bad-value", "balance is peak-ewma, round-robin, least-request, random, ring-hash or maglev, not "+strconv.Quote(b), hint)
	}
	_, wrong := hashKeys(s.Hash)
	for _, w := range wrong {
		in.Problem(n, "bad-value", "a key to hash is header NAME, cookie NAME, query NAME, source or cel EXPRESSION, not "+strconv.Quote(w), "for example hash: cookie session, or hash: [header X-User, source]")
	}
	if f := s.HashBalanceFactor; f != 0 && (f <= 100 || f > model.MostHashBalance) {
		in.Problem(field(n, "hashBalanceFactor"), "bad-value", strconv.Itoa(f)+"% can not bound what an endpoint gets", "write 101 to "+strconv.Itoa(model.MostHashBalance)+", for example 125")
	}
	if s.SubsetSize < 0 {
		in.Problem(field(n, "subsetSize"), "bad-value", "a subset has at least one endpoint", "for example subsetSize: 100")
	}
	if s.SubsetSize > 0 && model.Balance(s.Balance).Hashes() {
		in.Problem(field(n, "subsetSize"), "conflict", "balance: "+string(s.Balance)+" needs all proxies to know the same endpoints: there is no subset", "leave one of them out")
	}
	for i, w := range s.Hash {
		if text, ok := strings.CutPrefix(strings.TrimSpace(w), "cel "); ok {
			s.codes = append(s.codes, code{strings.TrimSpace(text), listed(field(n, "hash"), i)})
		}
	}
	if model.Balance(s.Balance).Hashes() && len(s.Hash) == 0 {
		in.Problem(n, "no-hash", "balance: "+string(s.Balance)+" needs hash: what requests have in common", "for example hash: cookie session, or hash: source")
	}
}

// code is an expression by which a service hashes.
type code struct {
	text string
	at   *yaml.Node
}

// badCode says whether an expression of s can not be used.
func (d *Dialect) badCode(in *dialect.Decoder, s *service) (bad bool) {
	if d.Key == nil {
		return false
	}
	in.Enter("services")
	in.Enter(s.name)
	in.Enter("hash")
	for _, c := range s.codes {
		if err := d.Key(c.text); err != nil {
			bad = true
			in.Problem(c.at, "bad-expression", "the expression can not be used: "+err.Error(), "docs/reference/policy.md has its variables")
		}
	}
	in.Leave()
	in.Leave()
	in.Leave()
	return bad
}

// listed is item i of a list, or what stands in place of one.
func listed(n *yaml.Node, i int) *yaml.Node {
	if n.Kind == yaml.SequenceNode && i < len(n.Content) {
		return n.Content[i]
	}
	return n
}

// hashKeys are what ring-hash and maglev go by, and the words that name none.
func hashKeys(list words) (keys []model.HashKey, wrong []string) {
	for _, w := range list {
		kind, name, _ := strings.Cut(strings.TrimSpace(w), " ")
		k := model.HashKey{Kind: model.HashKind(kind), Name: strings.TrimSpace(name)}
		if !slices.Contains(model.HashKinds(), k.Kind) || (k.Kind == model.HashSource) != (k.Name == "") {
			wrong = append(wrong, w)
			continue
		}
		keys = append(keys, k)
	}
	return keys, wrong
}

// session reads how a route's clients stay with an endpoint: "cookie NAME" or
// "header NAME", one of these words alone, or off. "" says nothing.
func session(s string) (m *model.Session, ok bool) {
	if s == "" {
		return nil, true
	}
	if s == off {
		return &model.Session{Kind: model.SessionOff}, true
	}
	kind, name, _ := strings.Cut(strings.TrimSpace(s), " ")
	m = &model.Session{Kind: model.SessionKind(kind), Name: strings.TrimSpace(name)}
	if m.Kind != model.SessionCookie && m.Kind != model.SessionHeader || strings.ContainsAny(m.Name, " ;,=") {
		return nil, false
	}
	return m, true
}
