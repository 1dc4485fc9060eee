package wire

import "time"

// RetryAfter gives how long a response's Retry-After asks to be left alone (RFC 9110
// section 10.2.3), from now on; 0 without one. ok is false where it cannot be read.
func (h *Head) RetryAfter(now time.Time) (after time.Duration, ok bool) {
	v, there := h.Get(KeyRetryAfter)
	if !there {
		return 0, true
	}
	if n, ok := Digits(v); ok {
		return time.Duration(n) * time.Second, true
	}
	const longestDate = 29 // "Sun, 06 Nov 1994 08:49:37 GMT"
	if len(v) != longestDate {
		return 0, false
	}
	at, err := time.Parse("Mon, 02 Jan 2006 15:04:05 GMT", string(v))
	return max(at.Sub(now), 0), err == nil
}

// Digits reads a number; more than 86,400,000, the milliseconds of a day, is
// that.
func Digits(v []byte) (n int64, ok bool) {
	const most = 24 * 3600 * 1000
	for _, c := range v {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = min(n*10+int64(c-'0'), most)
	}
	return n, len(v) > 0
}
