package short

import (
	_ "embed"
	"reflect"
	"strings"
)

type section struct {
	title string
	typ   reflect.Type
}

// sections are the types of the reference, in its order.
func sections() []section {
	return []section{
		{"a file", reflect.TypeFor[form]()},
		{"route", reflect.TypeFor[route]()},
		{"match", reflect.TypeFor[match]()},
		{"condition", reflect.TypeFor[condition]()},
		{"destination", reflect.TypeFor[destination]()},
		{"redirect", reflect.TypeFor[redirect]()},
		{"respond", reflect.TypeFor[respond]()},
		{"rewrite", reflect.TypeFor[rewrite]()},
		{"headers", reflect.TypeFor[headers]()},
		{"edit", reflect.TypeFor[edit]()},
		{"cors", reflect.TypeFor[cors]()},
		{"mirror", reflect.TypeFor[mirror]()},
		{"fault", reflect.TypeFor[fault]()},
		{"rollout", reflect.TypeFor[rollout]()},
		{"step", reflect.TypeFor[step]()},
		{"shape", reflect.TypeFor[shape]()},
		{"timeouts", reflect.TypeFor[timeouts]()},
		{"retry", reflect.TypeFor[retry]()},
		{"retryBudget", reflect.TypeFor[budget]()},
		{"overload", reflect.TypeFor[overload]()},
		{"transcode", reflect.TypeFor[transcode]()},
		{"defaults", reflect.TypeFor[defaults]()},
		{"service", reflect.TypeFor[service]()},
		{"endpoint", reflect.TypeFor[endpoint]()},
		{"locality", reflect.TypeFor[locality]()},
		{"health", reflect.TypeFor[health]()},
		{"ejection", reflect.TypeFor[ejection]()},
		{"bounds", reflect.TypeFor[bounds]()},
		{"trust", reflect.TypeFor[trust]()},
		{"member", reflect.TypeFor[member]()},
		{"mesh", reflect.TypeFor[mesh]()},
		{"federation", reflect.TypeFor[federation]()},
		{"policy", reflect.TypeFor[policy]()},
		{"listen", reflect.TypeFor[listen]()},
		{"proxyProtocol", reflect.TypeFor[introduced]()},
		{"clientAuth", reflect.TypeFor[clientAuth]()},
		{"keyPair", reflect.TypeFor[keyPair]()},
		{"issuance", reflect.TypeFor[issuance]()},
		{"auto", reflect.TypeFor[auto]()},
		{"localCA", reflect.TypeFor[localCA]()},
		{"limits", reflect.TypeFor[limits]()},
		{"logging", reflect.TypeFor[logging]()},
	}
}

// intro is how the page begins.
//
//go:embed reference.md
var intro string

// Reference gives a page in Markdown with every field: name, type, default,
// unit and meaning.
func Reference() []byte {
	s := newSchemas()
	var b strings.Builder
	b.WriteString(intro)
	for _, section := range sections() {
		b.WriteString(s.Table(section.title, section.typ))
	}
	return []byte(b.String())
}
