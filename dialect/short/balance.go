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
		in.Problem(n, "bad-value", "a key to hash is header NAME, cookie NAME, query NAME or source, not "+strconv.Quote(w), "for example hash: cookie session, or hash: [header X-User, source]")
	}
	if model.Balance(s.Balance).Hashes() && len(s.Hash) == 0 {
		in.Problem(n, "no-hash", "balance: "+string(s.Balance)+" needs hash: what requests have in common", "for example hash: cookie session, or hash: source")
	}
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
