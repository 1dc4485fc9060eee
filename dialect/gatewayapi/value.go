package gatewayapi

import (
	"net/netip"
	"regexp/syntax"
	"strconv"
	"strings"
	"time"
)

// checkHostname says what is wrong with a host name (RFC 1123), or "".
// wildcard allows "*." in front.
func checkHostname(host string, wildcard bool) string {
	name := host
	if rest, ok := strings.CutPrefix(host, "*."); ok && wildcard {
		name = rest
	}
	switch {
	case name == "":
		return "a host name is empty"
	case len(host) > 253:
		return "a host name has at most 253 characters"
	case strings.ToLower(name) != name:
		return "host name " + host + " has upper-case letters"
	}
	if _, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
		return host + " is an IP address, not a host name"
	}
	for label := range strings.SplitSeq(name, ".") {
		if !isLabel(label) {
			return host + " is not a host name"
		}
	}
	return ""
}

// isLabel is one label of a host name.
func isLabel(label string) bool {
	if label == "" || label[0] == '-' || label[len(label)-1] == '-' {
		return false
	}
	for _, c := range []byte(label) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

// isName may name an object or a listener: labels of a host name, with dots.
func isName(name string) bool {
	for label := range strings.SplitSeq(name, ".") {
		if !isLabel(label) {
			return false
		}
	}
	return len(name) <= 253
}

// isToken is a field name (RFC 9110 §5.6.2).
func isToken(name string) bool {
	if name == "" || len(name) > 256 {
		return false
	}
	for _, c := range []byte(name) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return true
}

// isFieldValue may stand after the colon of a field (RFC 9110 §5.5).
func isFieldValue(value string) bool {
	if value == "" || len(value) > 4096 || strings.Trim(value, " \t") != value {
		return false
	}
	for _, c := range []byte(value) {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// checkPath says what is wrong with the value of an Exact or PathPrefix match,
// or "".
func checkPath(path string) string {
	switch {
	case !strings.HasPrefix(path, "/"):
		return "a path begins with /"
	case len(path) > 1024:
		return "a path has at most 1024 characters"
	case strings.Contains(path, "//"):
		return "a path must not contain //"
	case strings.Contains(path, "/./"), strings.HasSuffix(path, "/."):
		return "a path must not have a segment ."
	case strings.Contains(path, "/../"), strings.HasSuffix(path, "/.."):
		return "a path must not have a segment .."
	case strings.Contains(path, "%2f"), strings.Contains(path, "%2F"):
		return "a path must not contain an encoded slash"
	}
	for i := 0; i < len(path); i++ {
		c := path[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		switch {
		case letter || strings.IndexByte("-/._~!$&'()*+,;=:@", c) >= 0:
		case c == '%' && i+2 < len(path) && isHex(path[i+1]) && isHex(path[i+2]):
		default:
			return "a path must not contain " + strconv.QuoteRune(rune(c)) + "; write it as %" + strings.ToUpper(strconv.FormatInt(int64(c), 16))
		}
	}
	return ""
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

// checkRegex says what is wrong with an expression (RE2), or "".
func checkRegex(expression string) string {
	_, err := syntax.Parse(expression, syntax.Perl)
	if err == nil {
		return ""
	}
	return strings.TrimPrefix(err.Error(), "error parsing regexp: ")
}

// duration reads a Gateway API duration (GEP-2257): up to four numbers of at
// most five digits, each with h, m, s or ms.
func duration(text string) (time.Duration, bool) {
	rest, parts := text, 0
	for rest != "" {
		digits := 0
		for digits < len(rest) && rest[digits] >= '0' && rest[digits] <= '9' {
			digits++
		}
		unit := 1
		if strings.HasPrefix(rest[digits:], "ms") {
			unit = 2
		} else if digits == len(rest) || strings.IndexByte("hms", rest[digits]) < 0 {
			return 0, false
		}
		if digits == 0 || digits > 5 {
			return 0, false
		}
		rest = rest[digits+unit:]
		parts++
	}
	if parts == 0 || parts > 4 {
		return 0, false
	}
	d, err := time.ParseDuration(text)
	return d, err == nil
}

// or gives what p points to, or what stands for nil.
func or[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}

// isPort is a TCP port.
func isPort(port int32) bool { return port >= 1 && port <= 65535 }
