package short

import (
	"fmt"
	"reflect"
	"strings"
)

// sections are the types of the reference, in its order.
func sections() []struct {
	title string
	typ   reflect.Type
} {
	return []struct {
		title string
		typ   reflect.Type
	}{
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
		{"timeouts", reflect.TypeFor[timeouts]()},
		{"retry", reflect.TypeFor[retry]()},
		{"service", reflect.TypeFor[service]()},
		{"endpoint", reflect.TypeFor[endpoint]()},
		{"health", reflect.TypeFor[health]()},
		{"trust", reflect.TypeFor[trust]()},
		{"listen", reflect.TypeFor[listen]()},
		{"keyPair", reflect.TypeFor[keyPair]()},
		{"limits", reflect.TypeFor[limits]()},
		{"logging", reflect.TypeFor[logging]()},
	}
}

const intro = `# The short form

Every field of a short configuration file. ` + "`naru schema`" + ` prints the same as JSON Schema for editors.

## How a match is written

` + "`METHOD host/path`" + `, each part optional.

| written | matches |
|---|---|
| ` + "`GET api.example.com/orders`" + ` | the method, the host, and the path with all below it, by segment: ` + "`/orders/7`, not `/orders-old`" + ` |
| ` + "`GET,HEAD /orders`" + ` | either method, every host |
| ` + "`*.example.com`" + ` | every host below example.com |
| ` + "`/orders/{id}`" + ` | a template: one segment in place of {id} |
| ` + "`/files/{rest...}`" + ` | a template: all that follows |
| ` + "`=/healthz`" + ` | exactly this path |
| ` + "`~/v[0-9]+/.*`" + ` | the whole path as a regular expression (RE2) |

The most specific match wins, as in the Gateway API, not the first: exact hosts before wildcards; then exact paths,
templates and long prefixes; then methods; then more header and query conditions. Between equals, the first wins.

` + "`redirect: https`" + ` stands only behind listeners without TLS, where it leads somewhere else.

## How values are written

Durations have a unit: 250ms, 5s, 1h30m. Sizes: 64KiB, 10MB, or a number of bytes. Files are seen from the folder of
the configuration file. A type such as "text, redirect" means: one of these.

`

// Reference gives a page in Markdown with every field: name, type, default,
// unit and meaning.
func Reference() []byte {
	s := schemas{defs: map[string]any{}}
	var b strings.Builder
	b.WriteString(intro)
	for _, section := range sections() {
		fmt.Fprintf(&b, "## %s\n\n| field | type | default | unit | meaning |\n|---|---|---|---|---|\n", section.title)
		for i := range section.typ.NumField() {
			f := section.typ.Field(i)
			name := f.Tag.Get("json")
			if name == "" {
				continue
			}
			meaning := f.Tag.Get("doc")
			if enum := f.Tag.Get("enum"); enum != "" {
				meaning += ": " + strings.ReplaceAll(enum, ",", ", ")
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", name, s.of(f.Type).name, cell(f.Tag.Get("default")), cell(f.Tag.Get("unit")), meaning)
		}
		b.WriteString("\n")
	}
	return []byte(b.String())
}

// cell fills an empty cell, and keeps Markdown from reading * as emphasis.
func cell(s string) string {
	if s == "" {
		return "–"
	}
	return strings.ReplaceAll(s, "*", "\\*")
}
