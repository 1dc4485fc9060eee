package short

import (
	"strconv"
	"strings"
)

// To is the text of a document that leads everything to one URL, as for
// "naru run --to URL --listen ADDR". listen may be empty: ":8080".
func To(url, listen string) []byte {
	var b strings.Builder
	if listen != "" {
		b.WriteString("listen: [" + strconv.Quote(listen) + "]\n")
	}
	b.WriteString("routes:\n- match: /\n  to: " + strconv.Quote(url) + "\n")
	return []byte(b.String())
}
