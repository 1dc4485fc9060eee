package filter

import (
	"strconv"

	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// Reply makes the answer of a request half, which returns what Reply returns.
// It resets Response; fields are added afterwards. body must outlive the
// exchange. A request with HEAD gets the length of the body without it, and
// statuses that have no content (204, 304) get neither.
func (x *Exchange) Reply(why observe.Reason, status int, body []byte) Verdict {
	h := &x.Response
	h.Reset()
	h.Status, h.Minor = status, 1
	x.Why, x.Body = why, nil
	switch {
	case !HasContent(status):
	case string(x.Request.Method) == "HEAD":
		var digits [20]byte
		h.Add(wire.KeyContentLength, strconv.AppendInt(digits[:0], int64(len(body)), 10))
	default:
		x.Body, h.Length = body, int64(len(body))
	}
	return Answer
}

// HasContent says whether a response of this status can have a body (RFC 9110
// section 6.4.1).
func HasContent(status int) bool {
	return status >= 200 && status != 204 && status != 304
}
