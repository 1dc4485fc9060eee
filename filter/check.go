package filter

import (
	"fmt"

	"github.com/naru-mesh/naru/wire"
)

// EditableField gives the Key of a field that configuration may set, add or
// remove. An error explains why it may not: fields that frame the message or
// belong to one connection (RFC 9110 section 7.6.1) are naru's to write, and
// whoever changes them breaks the message for the next reader.
func EditableField(name string) (wire.Key, error) {
	if !wire.ValidName(name) {
		return wire.Key{}, fmt.Errorf("%q is not a field name", name)
	}
	k := wire.KeyOf(name)
	switch k.ID {
	case wire.ContentLength, wire.TransferEncoding, wire.Trailer, wire.Expect:
		return k, fmt.Errorf("%s cannot be changed: it frames the message", name)
	case wire.Connection, wire.KeepAlive, wire.TE, wire.Upgrade, wire.ProxyConnection:
		return k, fmt.Errorf("%s cannot be changed: it belongs to one connection", name)
	}
	return k, nil
}

// FieldValue checks a field value of the configuration.
func FieldValue(name, value string) error {
	if !wire.ValidValue(value) {
		return fmt.Errorf("the value of %s has control characters or surrounding blanks", name)
	}
	return nil
}

// HostValue checks a host name or address, with a port where port is true.
func HostValue(host string, port bool) error {
	bad := host == ""
	for i := range len(host) {
		c := host[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '.', c == '_':
		case c == ':' && (port || host[0] == '['), c == '[' && i == 0, c == ']' && host[0] == '[':
		default:
			bad = true
		}
	}
	if bad {
		return fmt.Errorf("%q is not a host name", host)
	}
	return nil
}
