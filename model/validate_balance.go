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
		case k.Kind == HashCEL && (k.Name == "" || len(k.Name) > MostHashCode || hasControl(k.Name)):
			v.broken("bad-value", "service "+s.Name+" hashes a CEL expression that is empty, longer than "+strconv.Itoa(MostHashCode)+" characters, or has control characters", `for example cel request.headers["x-user"]`)
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
		s.Balance, s.Hash, s.HashBalanceFactor = "", nil, 0
		return s
	case len(s.Hash) > 0 && !s.Balance.Hashes():
		v.doubtful("unused", "service "+s.Name+" has keys to hash, and is not balanced by them", "write balance: maglev or balance: ring-hash")
	}
	if len(good) < len(s.Hash) {
		s = copied(s)
		s.Hash = good
	}
	return v.slowStart(v.bounded(s))
}

// bounded checks what bounds an endpoint's load and how many are used.
func (v *checker) bounded(s *Service) *Service {
	if f := s.HashBalanceFactor; f != 0 && (f <= 100 || f > MostHashBalance) {
		v.broken("bad-value", "service "+s.Name+" gives an endpoint "+strconv.Itoa(f)+"% of its share by keys; there is no bound", "write 101 to "+strconv.Itoa(MostHashBalance)+", for example 125")
		s = copied(s)
		s.HashBalanceFactor = 0
	} else if f != 0 && !s.Balance.Hashes() && (v.partial == nil || s.Balance != "") {
		v.doubtful("unused", "service "+s.Name+" bounds what an endpoint gets by keys, and is not balanced by them", "write balance: maglev or balance: ring-hash")
	}
	switch {
	case s.SubsetSize < 0:
		v.broken("bad-value", "service "+s.Name+" uses "+strconv.Itoa(s.SubsetSize)+" endpoints; all are used", "write how many of them each proxy uses, for example 100")
		s = copied(s)
		s.SubsetSize = 0
	case s.SubsetSize > 0 && s.Balance.Hashes():
		v.broken("contradiction", "service "+s.Name+" is balanced by "+string(s.Balance)+" and has a subset, in which each proxy has other endpoints; all are used", "proxies agree on whose a key is when they know the same endpoints: leave the subset out")
		s = copied(s)
		s.SubsetSize = 0
	}
	return s
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
