package short

import (
	"math"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/naru-mesh/naru/dialect"
	"github.com/naru-mesh/naru/model"
)

// text is a scalar of any type, as it was written: 1.2 is "1.2".
type text string

// ReadNode takes any scalar.
func (t *text) ReadNode(in *dialect.Decoder, n *yaml.Node) {
	if n.Kind != yaml.ScalarNode {
		in.Wrong(n, "text", "NAME: text")
		return
	}
	*t = text(n.Value)
}

// words are one text or a list.
type words []string

// ReadNode takes a scalar or a list of scalars.
func (w *words) ReadNode(in *dialect.Decoder, n *yaml.Node) {
	if n.Kind == yaml.ScalarNode {
		*w = words{n.Value}
		return
	}
	var list []text
	in.Into(n, &list)
	for _, t := range list {
		*w = append(*w, string(t))
	}
}

// hostname is a host as requests name it: exact or "*.example.com", in lower
// case.
type hostname string

// ReadNode takes what can be a host name.
func (h *hostname) ReadNode(in *dialect.Decoder, n *yaml.Node) {
	var t text
	in.Into(n, &t)
	host, wrong, hint := cleanHost(string(t))
	if wrong != "" {
		in.Problem(n, "bad-value", wrong, hint)
		return
	}
	*h = hostname(host)
}

// cleanHost gives a host in lower case, or what is wrong with it.
func cleanHost(s string) (host, wrong, hint string) {
	host = strings.ToLower(s)
	switch {
	case strings.Contains(host, "://"):
		return "", "a host has no scheme: " + s, "leave out " + s[:strings.Index(s, "://")+3]
	case strings.ContainsAny(host, ":") && !strings.HasPrefix(host, "["):
		return "", "a host to match has no port: " + s, "the port belongs under listen"
	}
	name := strings.TrimPrefix(host, "*.")
	for i := 0; i < len(name); i++ {
		c := name[i]
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '.', c == '_':
		case strings.HasPrefix(host, "[") && strings.IndexByte("[]:", c) >= 0:
		case c == '*':
			return "", "the wildcard of a host stands for its first labels: " + s, `write "*.example.com"`
		default:
			return "", "no host can be named " + strconv.Quote(s), "for example api.example.com or \"*.example.com\""
		}
	}
	if name == "" || strings.HasPrefix(name, ".") || strings.Contains(name, "..") {
		return "", "no host can be named " + strconv.Quote(s), "for example api.example.com or \"*.example.com\""
	}
	return host, "", ""
}

// off is how people write that there is no bound.
const off = "off"

// span is a duration; negative is "off".
type span time.Duration

// ReadNode takes "5s" and "off".
func (s *span) ReadNode(in *dialect.Decoder, n *yaml.Node) {
	if n.Value == off {
		*s = -1
		return
	}
	var d time.Duration
	before := in.Broken()
	in.Into(n, &d)
	if d < 0 || d == 0 && in.Broken() == before {
		in.Wrong(n, "more than nothing", "NAME: 5s, or NAME: off")
		return
	}
	*s = span(d)
}

func (s *span) duration() time.Duration {
	if s == nil {
		return 0
	}
	return time.Duration(*s)
}

// count is a number; negative is "off".
type count int

// ReadNode takes a number of at least 1, and "off".
func (c *count) ReadNode(in *dialect.Decoder, n *yaml.Node) {
	if n.Value == off {
		*c = -1
		return
	}
	var i int
	before := in.Broken()
	in.Into(n, &i)
	if i < 1 && in.Broken() == before {
		in.Wrong(n, "at least 1", "NAME: 100, or NAME: off for no bound")
		return
	}
	*c = count(i)
}

// percentage is a number, with its sign or without.
type percentage float64

// ReadNode takes 99.5 and "99.5%".
func (p *percentage) ReadNode(in *dialect.Decoder, n *yaml.Node) {
	number, signed := strings.CutSuffix(n.Value, "%")
	if n.Kind != yaml.ScalarNode || !signed {
		in.Into(n, (*float64)(p))
		return
	}
	f, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
		in.Wrong(n, "a percentage", "NAME: 5, or NAME: 0.5%")
		return
	}
	*p = percentage(f)
}

// wholePercentage is a percentage without a fraction.
type wholePercentage int

// ReadNode takes 20 and "20%".
func (p *wholePercentage) ReadNode(in *dialect.Decoder, n *yaml.Node) {
	number, signed := strings.CutSuffix(n.Value, "%")
	if n.Kind != yaml.ScalarNode || !signed && n.Tag != "!!float" {
		in.Into(n, (*int)(p))
		return
	}
	i, err := strconv.Atoi(strings.TrimSpace(number))
	if err != nil {
		in.Wrong(n, "a whole percentage", "NAME: "+likelyPercent(number, 20))
		return
	}
	*p = wholePercentage(i)
}

// likelyPercent is what may be meant by a number with a fraction: 0.2 and 1.4 are
// taken for shares, as others write them; otherwise what else can be written.
func likelyPercent(number string, other int) string {
	f, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	switch {
	case err != nil || !(f > 0 && f < 1e6):
	case f < 2:
		other = max(int(math.Round(f*100)), 1)
	default:
		other = int(math.Round(f))
	}
	return strconv.Itoa(other)
}

// byteSize is a number of bytes; negative is "off".
type byteSize int64

var units = []struct {
	suffix string
	factor float64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30},
	{"kB", 1e3}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9},
	{"K", 1 << 10}, {"k", 1 << 10}, {"M", 1 << 20}, {"G", 1 << 30}, {"B", 1}, {"", 1},
}

// ReadNode takes "64KiB", 65536 and "off".
func (b *byteSize) ReadNode(in *dialect.Decoder, n *yaml.Node) {
	if n.Value == off {
		*b = -1
		return
	}
	size, ok := parseBytes(n)
	if !ok {
		in.Wrong(n, "a size", "NAME: 64KiB (units: KiB, MiB, GiB), or NAME: off for no bound")
		return
	}
	*b = byteSize(size)
}

// parseBytes reads a number of at least one, with or without a unit.
func parseBytes(n *yaml.Node) (size int64, ok bool) {
	if n.Kind != yaml.ScalarNode {
		return 0, false
	}
	for _, u := range units {
		number, has := strings.CutSuffix(n.Value, u.suffix)
		if !has {
			continue
		}
		f, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if f *= u.factor; err == nil && f >= 1 && f < 1<<53 {
			return int64(f), true
		}
		break
	}
	return 0, false
}

// pairs are header fields in the order of writing.
type pairs []model.Field

// ReadNode takes a mapping of names and values.
func (p *pairs) ReadNode(in *dialect.Decoder, n *yaml.Node) {
	in.Pairs(n, "NAME: {x-name: value}", func(key, value *yaml.Node) {
		if !isFieldName(key.Value) {
			in.Problem(key, "bad-value", "no header field can be named "+strconv.Quote(key.Value), "letters, digits and -")
			return
		}
		var t text
		in.Into(value, &t)
		if strings.ContainsAny(string(t), "\r\n\x00") {
			in.Problem(value, "bad-value", "a header value is one line", "")
			return
		}
		*p = append(*p, model.Field{Name: key.Value, Value: strings.TrimSpace(string(t))})
	})
}

// isFieldName says whether s is a token (RFC 9110 §5.6.2).
func isFieldName(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0 {
			continue
		}
		return false
	}
	return s != ""
}

// later is a word of a later version. It takes its route out of service,
// because a route must not serve without a protection that was asked for.
type later struct{}

// ReadNode refuses.
func (*later) ReadNode(in *dialect.Decoder, n *yaml.Node) {
	path := in.Path()
	name := path[strings.LastIndexByte(path, '.')+1:]
	in.Problem(n, "not-supported", name+" is not supported yet in this version", "leave it out")
}
