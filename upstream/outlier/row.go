package outlier

import "sync/atomic"

// Row is how many requests in a row have failed, over all loops, which may use it at
// once. Torn answers are among them though each, and the one that comes next, began as
// a success: a good beginning ends a row of these when another has followed it. The
// zero Row is none.
type Row struct {
	// word is the number times two, and one more where the last was torn; below zero
	// when one has begun well since.
	word atomic.Int32
}

// Works takes a request that has succeeded, or has begun to.
func (r *Row) Works() {
	if word := r.word.Load(); word != 0 { // most often that is all
		r.began(word)
	}
}

func (r *Row) began(word int32) {
	if word > 0 && word&1 != 0 {
		r.word.CompareAndSwap(word, -word)
	} else {
		r.word.Store(0)
	}
}

// Fails takes one that has failed, after its answer had begun where it was torn, and
// gives how many these are.
func (r *Row) Fails(torn bool) int32 {
	for {
		word := r.word.Load()
		n, mark := max(word, 0)>>1+1, int32(0)
		if torn {
			n, mark = max(word, -word)>>1+1, 1
		}
		if r.word.CompareAndSwap(word, n<<1|mark) {
			return n
		}
	}
}

// Len is how many there are.
func (r *Row) Len() int {
	word := r.word.Load()
	return int(max(word, -word) >> 1)
}

// Back is for an endpoint that is back; most is how many have it ejected, 0 where none
// do. Where torn answers have, its probe has shown no more than that they still begin:
// with one that is torn now there are as many again.
func (r *Row) Back(most int32) {
	switch word := r.word.Load(); {
	case word&1 == 0 || most <= 0:
		r.word.Store(0)
	case word < 0:
		r.word.Store(-((most-1)<<1 | 1))
	default:
		r.word.Store((most-1)<<1 | 1)
	}
}
