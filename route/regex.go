package route

import (
	"fmt"
	"regexp"
)

// regexes compiles expressions, each once; those of the Table before are used
// again, for compiling is the slowest part of building.
type regexes struct {
	old, new map[string]*regexp.Regexp
}

// get gives the expression that matches a whole text.
func (r *regexes) get(expr string) (*regexp.Regexp, error) {
	if re := r.new[expr]; re != nil {
		return re, nil
	}
	re := r.old[expr]
	if re == nil {
		// By itself first: "a)(b" must not become valid by what surrounds it.
		if _, err := regexp.Compile(expr); err != nil {
			return nil, fmt.Errorf("regex %q: %w", expr, err)
		}
		var err error
		if re, err = regexp.Compile(`\A(?:` + expr + `)\z`); err != nil {
			return nil, fmt.Errorf("regex %q: %w", expr, err)
		}
	}
	if r.new == nil {
		r.new = make(map[string]*regexp.Regexp)
	}
	r.new[expr] = re
	return re, nil
}

// literalPrefix gives the text that every match of expr begins with. expr is
// valid.
func literalPrefix(expr string) string {
	// The library leaves the prefix out when an anchor stands in front of it.
	for len(expr) > 0 && expr[0] == '^' {
		expr = expr[1:]
	}
	re, err := regexp.Compile(expr)
	if err != nil {
		return ""
	}
	prefix, _ := re.LiteralPrefix()
	return prefix
}
