package short

import (
	"slices"
	"strconv"

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
		in.Problem(n, "bad-value", "balance is peak-ewma, round-robin, least-request or random, not "+strconv.Quote(b), hint)
	}
}
