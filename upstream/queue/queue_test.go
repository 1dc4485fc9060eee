package queue

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

const (
	ms   = time.Millisecond
	wait = time.Second
)

// names takes out all that Next gives, at one time.
func names(q *Queue, now time.Duration, of map[*Waiter]string) (list []string) {
	for w := q.Next(now, wait); w != nil; w = q.Next(now, wait) {
		q.Leave(w)
		list = append(list, of[w])
	}
	return list
}

// fill has one of each rank join every millisecond.
func fill(q *Queue, from time.Duration) map[*Waiter]string {
	of := map[*Waiter]string{}
	for i, name := range []string{"low1", "normal1", "critical1", "low2", "normal2", "critical2"} {
		w := &Waiter{}
		of[w] = name
		q.Join(from+time.Duration(i)*ms, w, Rank(i%3))
	}
	return of
}

// TestWhoGoesNext: what matters more, then who came first; in a queue that stands
// who came last.
func TestWhoGoesNext(t *testing.T) {
	t.Parallel()
	var q Queue
	if q.Next(0, wait) != nil || q.Late(0, wait) != nil || q.Due(0, wait) != 0 || q.Best() != 0 {
		t.Fatal("somebody waits in an empty queue")
	}
	of := fill(&q, time.Hour)
	if q.Best() != 3 || q.Len() != 6 {
		t.Errorf("best %d of %d", q.Best(), q.Len())
	}
	if got := names(&q, time.Hour+100*ms, of); !slices.Equal(got, []string{"critical1", "critical2", "normal1", "normal2", "low1", "low2"}) {
		t.Errorf("in a burst %v", got)
	}
	of = fill(&q, 2*time.Hour)
	if !q.Stands(2*time.Hour+2*wait, wait) || q.Stands(2*time.Hour+wait, wait) {
		t.Error("it stands when it has not been empty for longer than one waits")
	}
	if got := names(&q, 2*time.Hour+2*wait, of); !slices.Equal(got, []string{"critical2", "critical1", "normal2", "normal1", "low2", "low1"}) {
		t.Errorf("standing %v", got)
	}
}

// TestWhoIsLate: everybody has the whole time in a burst; in a queue that stands
// only what is critical.
func TestWhoIsLate(t *testing.T) {
	t.Parallel()
	var q Queue
	of := fill(&q, 0)
	late := func(now time.Duration) (list []string) {
		for w := q.Late(now, wait); w != nil; w = q.Late(now, wait) {
			q.Leave(w)
			list = append(list, of[w])
		}
		return list
	}
	if d := q.Due(0, wait); d != wait {
		t.Errorf("due in %v", d)
	}
	if got := late(wait - ms); got != nil {
		t.Errorf("%v are late before their time", got)
	}
	if got := late(wait); !slices.Equal(got, []string{"low1"}) {
		t.Errorf("%v after the time of the first", got)
	}
	// It stands: a twentieth, but for critical1 (2 ms) and critical2 (5 ms).
	if got := late(wait + ms); !slices.Equal(got, []string{"low2", "normal1", "normal2"}) {
		t.Errorf("%v when it stands", got)
	}
	if d := q.Due(wait+ms, wait); d != ms {
		t.Errorf("due in %v, want what critical1 has left", d)
	}
	if got := late(wait + 5*ms); !slices.Equal(got, []string{"critical1", "critical2"}) {
		t.Errorf("%v in the end", got)
	}
	if q.Len() != 0 {
		t.Errorf("%d are left", q.Len())
	}
}

// TestPlacesAreKept: who comes back has its place; the least makes room for what
// matters more, and nobody for its like.
func TestPlacesAreKept(t *testing.T) {
	t.Parallel()
	var q Queue
	of := fill(&q, 0)
	for range 3 {
		w := q.Next(10*ms, wait)
		q.Leave(w)
		q.Rejoin(w)
	}
	if w := q.Worst(0); w != nil {
		t.Errorf("%s makes room for its like", of[w])
	}
	for _, want := range []string{"low1", "low2", "normal1", "normal2"} {
		w := q.Worst(2)
		if of[w] != want {
			t.Errorf("%s makes room, want %s", of[w], want)
		}
		q.Leave(w)
		q.Leave(w) // once more does nothing
	}
	if w := q.Worst(2); w != nil || q.Len() != 2 {
		t.Errorf("%s makes room for its like", of[w])
	}
	if got := names(&q, 10*ms, of); !slices.Equal(got, []string{"critical1", "critical2"}) {
		t.Errorf("left are %v", got)
	}
}

// TestListsStayInOrder: whatever comes, goes and comes back.
func TestListsStayInOrder(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(5, 6))
	var q Queue
	var out []*Waiter
	now := time.Hour
	for range 3000 {
		now += time.Duration(rnd.IntN(3)) * ms
		switch n := rnd.IntN(8); {
		case n < 4:
			q.Join(now, &Waiter{}, Rank(rnd.IntN(Ranks)))
		case n < 6:
			if w := q.Next(now, 50*ms); w != nil {
				q.Leave(w)
				out = append(out, w)
			}
		case n == 6 && len(out) > 0:
			w := out[len(out)-1]
			out = out[:len(out)-1]
			q.Rejoin(w)
		default:
			if w := q.Late(now, 500*ms); w != nil {
				q.Leave(w)
			}
		}
		n := 0
		for r := range q.lists {
			for w := q.lists[r].oldest; w != nil; w = w.newer {
				n++
				if w.newer != nil && (w.newer.since < w.since || w.newer.older != w) || !w.in || int(w.rank) != r {
					t.Fatal("a list is out of order")
				}
			}
		}
		if n != q.Len() {
			t.Fatalf("%d wait, counted %d", n, q.Len())
		}
	}
}
