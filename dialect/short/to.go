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
	writeTo(&b, url)
	return []byte(b.String())
}

func writeTo(b *strings.Builder, url string) {
	b.WriteString("routes:\n- match: /\n  to: " + strconv.Quote(url) + "\n")
}

// Secure is the text of a document that listens with certificates that come by
// themselves, as for "naru run --tls auto --listen ADDR NAMES". from is auto or
// local. listen may be empty: ":443", and ":80" for redirects and challenges.
// url may be empty: the routes stand in other documents.
func Secure(url, listen, from string, names []string) []byte {
	var b strings.Builder
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = strconv.Quote(name)
	}
	at := listen
	if at == "" {
		at = ":443"
	} else if !strings.Contains(at, "://") {
		at = "https://" + at
	}
	tls := from
	if len(names) > 0 {
		tls = "{" + from + ": {names: [" + strings.Join(quoted, ", ") + "]}}"
	}
	b.WriteString("listen:\n- {address: " + strconv.Quote(at) + ", tls: " + tls + "}\n")
	if listen == "" {
		b.WriteString("- {address: \":80\", redirect: https}\n")
	}
	if url != "" {
		writeTo(&b, url)
	}
	return []byte(b.String())
}
