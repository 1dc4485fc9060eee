package wire

import (
	"fmt"

	"github.com/naru-mesh/naru/observe"
)

// problems holds the body of each Reason's answer, made once.
var problems = func() (all [observe.Reasons][]byte) {
	for r := range observe.Reasons {
		i := r.Info()
		all[r] = fmt.Appendf(nil, `{"type":"urn:naru:reason:%s","title":%q,"status":%d,"code":%q}`+"\n",
			i.Code, i.Title, i.Status, i.Code)
	}
	return all
}()

// ProblemType is the media type of Problem's document (RFC 9457).
const ProblemType = "application/problem+json"

// Problem gives the document that naru answers with for a Reason. Nobody
// writes to it.
func Problem(why observe.Reason) []byte {
	if why >= observe.Reasons {
		why = observe.Internal
	}
	return problems[why]
}

// KeepProblem makes h the head of Problem(why)'s answer: status, type and
// length.
func KeepProblem(h *Head, why observe.Reason) {
	h.Reset()
	h.Status = why.Info().Status
	h.Minor = 1
	h.Length = int64(len(Problem(why)))
	h.AddString(KeyContentType, ProblemType)
}
