package route

import (
	"fmt"
	"strings"

	"github.com/naru-mesh/naru/wire"
)

// capture is where in the path a template's capture lies.
type capture struct {
	name    string
	segment int  // counted from 0
	rest    bool // this segment and all that follow
}

// compileTemplate reads c.path as a template. {name} stands for one segment
// that is not empty; {name...}, at the end, for the rest of the path, which may
// be empty: /files/{rest...} matches /files/ but not /files.
func (c *entry) compileTemplate() error {
	c.kind = kindTemplate
	segments := strings.Split(c.path[1:], "/")
	for i, s := range segments {
		name, isCapture, err := captureName(s)
		if err != nil {
			return fmt.Errorf("path template %q: %w", c.path, err)
		}
		c.literal++ // the slash
		if !isCapture {
			c.literal += len(s)
			continue
		}
		k := capture{segment: i}
		k.name, k.rest = strings.CutSuffix(name, "...")
		if k.rest {
			if i < len(segments)-1 {
				return fmt.Errorf("path template %q: {%s} must be at the end", c.path, name)
			}
			c.kind = kindRest
		}
		if !wire.ValidName(k.name) {
			return fmt.Errorf("path template %q: {%s} needs a name of letters, digits, - and _", c.path, name)
		}
		for _, o := range c.params {
			if o.name == k.name {
				return fmt.Errorf("path template %q: {%s} appears twice", c.path, k.name)
			}
		}
		c.params = append(c.params, k)
	}
	if len(c.params) > MaxParams {
		return fmt.Errorf("path template %q has more than %d captures", c.path, MaxParams)
	}
	return nil
}

// captureName gives what stands between the braces of a segment.
func captureName(segment string) (name string, ok bool, err error) {
	if !strings.ContainsAny(segment, "{}") {
		return "", false, nil
	}
	name, open := strings.CutPrefix(segment, "{")
	name, closed := strings.CutSuffix(name, "}")
	if !open || !closed || strings.ContainsAny(name, "{}") {
		return "", false, fmt.Errorf("a capture must be a whole segment, not part of %q", segment)
	}
	return name, true, nil
}

// capture appends the captures that path, which matches, gives.
func (c *entry) capture(path []byte, out []Param) []Param {
	from, segment := 1, 0
	for _, k := range c.params {
		for ; segment < k.segment; segment++ {
			for path[from] != '/' {
				from++
			}
			from++
		}
		to := from
		for to < len(path) && (k.rest || path[to] != '/') {
			to++
		}
		out = append(out, Param{Name: k.name, Value: path[from:to:to]})
	}
	return out
}
