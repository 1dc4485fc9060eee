package short

import (
	"math"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/naru-mesh/naru/dialect"
)

// ReadNode takes off, false, true or an object.
func (e *ejection) ReadNode(in *dialect.Decoder, n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		switch {
		case n.Value == off:
			e.noun.Off = true
		case n.Tag == "!!bool":
			var on bool
			in.Into(n, &on)
			e.noun.Off = !on
		default:
			in.Wrong(n, "off or an object", "ejection: off, or ejection: {failures: 3}")
		}
		return
	}
	type plain ejection
	before := in.Broken()
	in.Into(n, (*plain)(e))
	if in.Broken() > before {
		return
	}
	m := &e.noun
	for _, f := range []struct {
		name  string
		value text
		to    *int
		scale float64 // of what is written, 0: a whole number
		most  float64
	}{
		{"failures", e.Failures, &m.Failures, 1, 1e6},
		{"connects", e.Connects, &m.Connects, 1, 1e6},
		{"successRate", e.SuccessRate, &m.SuccessRate, 1, 100},
		{"deviation", e.Deviation, &m.Deviation, 100, 100},
		{"slowness", e.Slowness, &m.Slowness, 100, 1e6},
		{"maxEjected", e.MaxEjected, &m.MaxEjected, 1, 100},
	} {
		if f.value == "" {
			continue
		}
		if f.value == off {
			*f.to = -1
			continue
		}
		written, percent := strings.CutSuffix(string(f.value), "%")
		number, err := strconv.ParseFloat(strings.TrimSpace(written), 64)
		scaled := number * f.scale
		if err != nil || !(number > 0 && number <= f.most) || percent && f.most != 100 || scaled != math.Trunc(scaled) && f.scale == 1 || math.Round(scaled) < 1 {
			hint := "a whole number from 1, or off"
			switch {
			case f.scale == 100:
				hint = "a number such as 2.5, or off"
			case f.most == 100:
				hint = "a percentage from 1% to 100%, or off"
			}
			in.Problem(n, "bad-value", "this is no "+f.name+": "+strconv.Quote(string(f.value)), hint)
			continue
		}
		*f.to = int(math.Round(scaled))
	}
	if e.Backoff.duration() < 0 || e.MaxBackoff.duration() < 0 {
		in.Problem(n, "bad-value", "an ejected endpoint is always probed again", "leave backoff and maxBackoff out for their defaults; ejection: off ejects none")
	}
	m.Backoff, m.MaxBackoff = max(e.Backoff.duration(), 0), max(e.MaxBackoff.duration(), 0)
}
