package model

import (
	"slices"
	"strconv"
)

// balance checks how a Service's endpoints share its requests. What is wrong is
// as if it had not been written.
func (v *checker) balance(s *Service) *Service {
	v.on("balance")
	if s.Balance != "" && !slices.Contains(Balances(), s.Balance) {
		v.broken("bad-value", "service "+s.Name+" is balanced by "+strconv.Quote(string(s.Balance))+", it goes on as "+string(PeakEWMA), "write "+anyOf(Balances()))
		s = copied(s)
		s.Balance = ""
	}
	good := s.Hash
	for i, k := range s.Hash {
		ok := false
		switch {
		case i >= MostHashKeys:
			v.broken("bad-value", "service "+s.Name+" has more than "+strconv.Itoa(MostHashKeys)+" keys to hash; the others are not used", "the first that a request has counts")
		case !slices.Contains(HashKinds(), k.Kind):
			v.broken("bad-value", "service "+s.Name+" hashes "+strconv.Quote(string(k.Kind)), "write "+anyOf(HashKinds()))
		case k.Kind == HashSource && k.Name != "":
			v.broken("bad-value", "service "+s.Name+" hashes a source named "+strconv.Quote(k.Name), "a source has no name")
		case k.Kind == HashQuery && (k.Name == "" || hasControl(k.Name)), (k.Kind == HashHeader || k.Kind == HashCookie) && !isToken(k.Name):
			v.broken("bad-value", "service "+s.Name+" hashes a "+string(k.Kind)+" named "+strconv.Quote(k.Name), "for example "+string(k.Kind)+" user")
		default:
			ok = true
		}
		good = keep(good, s.Hash, i, ok)
	}
	switch {
	case s.Balance.Hashes() && len(good) == 0:
		v.broken("no-hash", "service "+s.Name+" is balanced by "+string(s.Balance)+" and says of no key what requests have in common; it goes on as "+string(PeakEWMA), "for example hash: cookie session, or hash: source")
		s = copied(s)
		s.Balance, s.Hash = "", nil
		return s
	case len(s.Hash) > 0 && !s.Balance.Hashes():
		v.doubtful("unused", "service "+s.Name+" has keys to hash, and is not balanced by them", "write balance: maglev or balance: ring-hash")
	}
	if len(good) < len(s.Hash) {
		s = copied(s)
		s.Hash = good
	}
	return v.slowStart(s)
}

func (v *checker) slowStart(s *Service) *Service {
	w := s.SlowStart
	if w == nil {
		return s
	}
	if w.Window < 0 || w.Window > MostSlowStart || w.Aggression < 0 || w.Aggression > 100 || w.Aggression != w.Aggression || w.Floor < 0 || w.Floor > 100 {
		v.broken("bad-value", "service "+s.Name+" has a slow start that cannot be; its new endpoints get their share at once", "a window up to 1h, an aggression above 0 up to 100, a floor from 1 to 100")
		s = copied(s)
		s.SlowStart = nil
		return s
	}
	if s.Balance.Hashes() {
		v.doubtful("unused", "service "+s.Name+" has a slow start, which requests with a key do not have", "their endpoint would not be the one that the key belongs to")
	}
	v.short("a slow start", w.Window)
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
