package identity

import (
	"testing"
	"time"
)

// TestSurely: what may be the way of a slow answer is no skew.
func TestSurely(t *testing.T) {
	t.Parallel()
	for _, c := range [][3]time.Duration{{0, 0, 0}, {4, 5, 0}, {-5, 5, 0}, {7, 5, 2}, {-7, 5, -2}, {time.Hour, time.Millisecond, time.Hour - time.Millisecond}} {
		if got := Surely(c[0], c[1]); got != c[2] {
			t.Errorf("%v give or take %v is surely %v, and not %v", c[0], c[1], got, c[2])
		}
	}
}
