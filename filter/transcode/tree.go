package transcode

import "strings"

// tree finds rules by their path, segment by segment.
type tree struct {
	text  map[string]*tree
	one   *tree            // behind *
	many  map[string]*leaf // by verb, behind **
	rules map[string]*leaf // by verb, of a path that ends here
}

// leaf has the rules of one template, by HTTP method.
type leaf struct{ methods map[string]*rule }

// add hangs r into the tree, and gives the rule that is there already, if any.
func (n *tree) add(r *rule) *rule {
	for _, s := range r.template.segments {
		switch s {
		case "**":
			return hang(&n.many, r)
		case "*":
			if n.one == nil {
				n.one = &tree{}
			}
			n = n.one
		default:
			if n.text == nil {
				n.text = map[string]*tree{}
			}
			if n.text[s] == nil {
				n.text[s] = &tree{}
			}
			n = n.text[s]
		}
	}
	return hang(&n.rules, r)
}

func hang(at *map[string]*leaf, r *rule) *rule {
	if *at == nil {
		*at = map[string]*leaf{}
	}
	l := (*at)[r.template.verb]
	if l == nil {
		l = &leaf{methods: map[string]*rule{}}
		(*at)[r.template.verb] = l
	}
	if old := l.methods[r.verb]; old != nil {
		return old
	}
	l.methods[r.verb] = r
	return nil
}

// find gives the rule for a request. others are the HTTP methods of the rules
// that match but for that. segments are those of the path, without the verb.
func (n *tree) find(method, path string) (r *rule, segments []string, others map[string]bool) {
	others = map[string]bool{}
	segments = strings.Split(strings.TrimPrefix(path, "/"), "/")
	if path == "/" {
		segments = nil
	}
	// A path whose last segment has a colon may have a verb.
	if len(segments) > 0 {
		last := segments[len(segments)-1]
		if i := strings.LastIndexByte(last, ':'); i >= 0 {
			cut := append([]string(nil), segments...)
			cut[len(cut)-1] = last[:i]
			if i == 0 && len(cut) == 1 {
				cut = nil
			}
			if r = n.match(cut, last[i+1:], method, others); r != nil {
				return r, cut, nil
			}
		}
	}
	return n.match(segments, "", method, others), segments, others
}

// match tries text, then *, then **.
func (n *tree) match(rest []string, verb, method string, others map[string]bool) *rule {
	if len(rest) == 0 {
		if r := n.rules[verb].of(method, others); r != nil {
			return r
		}
	} else {
		if next := n.text[rest[0]]; next != nil {
			if r := next.match(rest[1:], verb, method, others); r != nil {
				return r
			}
		}
		if n.one != nil && rest[0] != "" {
			if r := n.one.match(rest[1:], verb, method, others); r != nil {
				return r
			}
		}
	}
	return n.many[verb].of(method, others)
}

func (l *leaf) of(method string, others map[string]bool) *rule {
	if l == nil {
		return nil
	}
	if r := l.methods[method]; r != nil {
		return r
	}
	if r := l.methods[anyMethod]; r != nil {
		return r
	}
	for m := range l.methods {
		others[m] = true
	}
	return nil
}

// anyMethod is that of a custom rule of kind "*".
const anyMethod = "*"
