package model

import (
	"strconv"
	"strings"
)

// Origin says where a noun was written, so that every message about it can
// point there. The zero Origin means "made by naru itself".
type Origin struct {
	// Source is the file path as the user gave it, for example "shop.yaml".
	Source string `json:"source,omitempty"`
	// Line and Column count from 1; 0 means unknown.
	Line   int `json:"line,omitempty"`
	Column int `json:"column,omitempty"`
	// Object is the Kubernetes-style name where there is one,
	// for example "HTTPRoute shop/orders".
	Object string `json:"object,omitempty"`
	// Field is the path inside the document, for example
	// "spec.rules[0].matches[1].path".
	Field string `json:"field,omitempty"`
}

// String gives "file:line:column", the form that editors can follow.
func (o Origin) String() string {
	var b strings.Builder
	b.WriteString(o.Source)
	if o.Source == "" {
		b.WriteString(o.Object)
	}
	if o.Line > 0 {
		b.WriteByte(':')
		b.WriteString(strconv.Itoa(o.Line))
		if o.Column > 0 {
			b.WriteByte(':')
			b.WriteString(strconv.Itoa(o.Column))
		}
	}
	return b.String()
}
