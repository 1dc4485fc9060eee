package model

import (
	"slices"
	"strconv"
)

// balance checks how a Service's endpoints share its requests. What is wrong is
// as if it had not been written.
func (v *checker) balance(s *Service) *Service {
	if s.Balance != "" && !slices.Contains(Balances(), s.Balance) {
		v.broken("bad-value", "service "+s.Name+" is balanced by "+strconv.Quote(string(s.Balance))+", it goes on as "+string(PeakEWMA), "write "+anyOf(Balances()))
		s = copied(s)
		s.Balance = ""
	}
	return s
}

// anyOf lists words: a, b or c.
func anyOf[T ~string](words []T) string {
	out := ""
	for i, w := range words {
		switch {
		case i == 0:
		case i == len(words)-1:
			out += " or "
		default:
			out += ", "
		}
		out += string(w)
	}
	return out
}
