package model

import "strings"

// Severity says whether a Problem took something out of service.
type Severity string

const (
	// Broken: what the Problem points at does not serve.
	Broken Severity = "error"
	// Doubtful: it serves, but probably not as meant.
	Doubtful Severity = "warning"
)

// Problem is a user's mistake: located, with what is wrong and what would be
// right. It is not an error: the rest of the configuration goes on serving.
type Problem struct {
	Origin   Origin   `json:"origin"`
	Severity Severity `json:"severity"`
	// Code is short and stable, in kebab case, for machines:
	// "unknown-field", "bad-value", "unknown-service", "duplicate-name".
	Code string `json:"code"`
	// Message says what is wrong, as a sentence without a full stop.
	Message string `json:"message"`
	// Hint says what would be right; empty when nothing useful is known.
	Hint string `json:"hint,omitempty"`
	// Reason is the Gateway API condition reason, where the specification
	// names one ("ResolvedRefs"/"BackendNotFound" is Condition/Reason).
	Condition string `json:"condition,omitempty"`
	Reason    string `json:"reason,omitempty"`
}

// String gives the line that a person reads:
// "shop.yaml:3:9: error: no service named ordrs (did you mean orders?)".
func (p Problem) String() string {
	var b strings.Builder
	if s := p.Origin.String(); s != "" {
		b.WriteString(s)
		b.WriteString(": ")
	}
	b.WriteString(string(p.Severity))
	b.WriteString(": ")
	b.WriteString(p.Message)
	if p.Hint != "" {
		b.WriteString(" (")
		b.WriteString(p.Hint)
		b.WriteString(")")
	}
	return b.String()
}
