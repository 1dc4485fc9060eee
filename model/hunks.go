package model

import "slices"

// Hunk says that A to B of a list became C to D of another. Either part may be
// empty.
type Hunk struct{ A, B, C, D int }

// lookAhead is how far Hunks looks for where two lists go on alike, and astray
// how many in a row may differ before it gives up on what is left.
const (
	lookAhead = 8
	astray    = 64
)

// Hunks tells where two lists differ, in their order. Who has long lists keeps
// what has not changed at the same address: what is == is not looked at any
// closer, and a list of 10,000 pointers takes a few microseconds. alike compares
// what is not ==; nil: that differs.
//
// The hunks are right, but not the fewest: of lists that have little in common
// all may be one.
func Hunks[T comparable](old, now []T, alike func(a, b T) bool) (list []Hunk) {
	i := 0
	for n := min(len(old), len(now)); i < n && old[i] == now[i]; {
		i++
	}
	to, end := len(old), len(now)
	for to > i && end > i && old[to-1] == now[end-1] {
		to, end = to-1, end-1
	}
	same := func(a, b T) bool { return a == b || alike != nil && alike(a, b) }
	j, row := i, 0
	add := func(di, dj int) {
		if n := len(list); n > 0 && list[n-1].B == i && list[n-1].D == j {
			list[n-1].B, list[n-1].D = i+di, j+dj
		} else {
			list = append(list, Hunk{i, i + di, j, j + dj})
		}
		i, j = i+di, j+dj
	}
	for i < to && j < end {
		if same(old[i], now[j]) {
			i, j, row = i+1, j+1, 0
			continue
		}
		if row++; row > astray {
			break
		}
		add(apart(old[i:to], now[j:end], same))
	}
	if i < to || j < end {
		add(to-i, end-j)
	}
	return list
}

// apart is how many of either list are passed over until they go on alike.
func apart[T any](old, now []T, same func(a, b T) bool) (di, dj int) {
	for d := 1; d <= lookAhead; d++ {
		for k := range d + 1 {
			if d < len(old) && k < len(now) && same(old[d], now[k]) {
				return d, k
			}
			if k < len(old) && d < len(now) && same(old[k], now[d]) {
				return k, d
			}
		}
	}
	return 1, 1
}

// Turned says whether b is a, begun at any place.
func Turned[T comparable](a, b []T) bool {
	if len(a) != len(b) || len(a) == 0 {
		return len(a) == len(b)
	}
	i := slices.Index(a, b[0])
	return i >= 0 && slices.Equal(a[i:], b[:len(a)-i]) && slices.Equal(a[:i], b[len(a)-i:])
}
