package upstream

import (
	"slices"

	"github.com/naru-mesh/naru/model"
)

// alike is how many of two lists, which may be one, are the same from the
// beginning.
func alike(a, b []model.Endpoint) int {
	n := min(len(a), len(b))
	if n == 0 || &a[0] == &b[0] {
		return n
	}
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// lookAhead is how far a match looks for where two lists go on alike, mostApart
// how many differences it bears, one in so many.
const (
	lookAhead = 8
	mostApart = 8
)

// match says for each of now which of old it is, -1 where it is new, and who of
// old is gone; the first same are known to be. It costs a comparison each where
// lists are alike but for a few that were changed, put in or taken out, in
// whatever place. nil: they are too different.
func match(old, now []model.Endpoint, same int) (from []int32, gone []int) {
	from = make([]int32, len(now))
	for i := range same {
		from[i] = int32(i)
	}
	var come []int
	i, j := same, same
	for i < len(old) && j < len(now) {
		if old[i] == now[j] {
			from[j] = int32(i)
			i, j = i+1, j+1
			continue
		}
		di, dj := apart(old[i:], now[j:])
		for ; di > 0; di-- {
			gone = append(gone, i)
			i++
		}
		for ; dj > 0; dj-- {
			from[j] = -1
			come = append(come, j)
			j++
		}
		if len(gone)+len(come) > len(old)/mostApart {
			return nil, nil
		}
	}
	for ; i < len(old); i++ {
		gone = append(gone, i)
	}
	for ; j < len(now); j++ {
		from[j] = -1
		come = append(come, j)
	}
	if len(gone)+len(come) > len(old)/mostApart {
		return nil, nil
	}
	return from, moved(old, now, from, gone, come)
}

// apart is how many of either list are passed over until they go on alike.
func apart(old, now []model.Endpoint) (di, dj int) {
	for d := 1; d <= lookAhead; d++ {
		for k := range d + 1 {
			if d < len(old) && k < len(now) && old[d] == now[k] {
				return d, k
			}
			if k < len(old) && d < len(now) && old[k] == now[d] {
				return k, d
			}
		}
	}
	return 1, 1
}

// moved finds those that are gone and have come in another place.
func moved(old, now []model.Endpoint, from []int32, gone, come []int) (left []int) {
	if len(gone) == 0 || len(come) == 0 {
		return gone
	}
	at := make(map[model.Endpoint][]int, len(gone))
	for _, i := range gone {
		at[old[i]] = append(at[old[i]], i)
	}
	for _, j := range come {
		if list := at[now[j]]; len(list) > 0 {
			from[j] = int32(list[0])
			at[now[j]] = list[1:]
		}
	}
	for _, i := range gone {
		if slices.Contains(at[old[i]], i) {
			left = append(left, i)
		}
	}
	return left
}
