package wire

import (
	"encoding/binary"
	"errors"
	"strings"
)

var (
	errNotTLS      = errors.New("the client does not speak TLS")
	errClientHello = errors.New("the TLS ClientHello is malformed")
)

// helloMost bounds a ClientHello with its record headers. Post-quantum keys
// made them larger than a packet; several times that is nobody's.
const helloMost = 16 << 10

// SniffServerName finds the server name (SNI, RFC 6066 section 3) in the TLS
// ClientHello that b begins with, in lower case; "" where the client names
// none. done says that the answer is there: without it and without an error,
// more must come. Nothing is taken and nothing is decided: b can be handed to
// whoever ends the TLS.
func SniffServerName(b []byte) (name string, done bool, err error) {
	const handshake, clientHello = 22, 1
	var message []byte
	for rest, records := b, 0; ; records++ {
		if len(rest) > 0 && rest[0] != handshake || len(rest) > 1 && rest[1] != 3 {
			return "", false, errNotTLS
		}
		if len(rest) < 5 {
			return "", false, tooMuch(b)
		}
		size := int(binary.BigEndian.Uint16(rest[3:]))
		if size == 0 || size > 1<<14 {
			return "", false, errNotTLS
		}
		part := rest[5:min(len(rest), 5+size)]
		switch records {
		case 0:
			message = part
		case 1: // a ClientHello in several records
			message = append(make([]byte, 0, len(b)), message...)
			fallthrough
		default:
			message = append(message, part...)
		}
		if len(message) > 0 && message[0] != clientHello {
			return "", false, errClientHello
		}
		if len(message) >= 4 {
			if length := int(message[1])<<16 | int(message[2])<<8 | int(message[3]); len(message) >= 4+length {
				name, ok := helloName(message[4 : 4+length])
				if !ok {
					return "", false, errClientHello
				}
				return name, true, nil
			} else if length > helloMost {
				return "", false, errClientHello
			}
		}
		if len(rest) <= 5+size {
			return "", false, tooMuch(b)
		}
		rest = rest[5+size:]
	}
}

// tooMuch is an error where waiting for more of b makes no sense.
func tooMuch(b []byte) error {
	if len(b) > helloMost {
		return errClientHello
	}
	return nil
}

// vector cuts off what is behind its length of so many bytes.
func vector(b []byte, bytes int) (v, rest []byte, ok bool) {
	if len(b) < bytes {
		return nil, nil, false
	}
	n := 0
	for _, c := range b[:bytes] {
		n = n<<8 | int(c)
	}
	if b = b[bytes:]; len(b) < n {
		return nil, nil, false
	}
	return b[:n], b[n:], true
}

// helloName goes through a ClientHello (RFC 8446 section 4.1.2).
func helloName(b []byte) (name string, ok bool) {
	const version, random = 2, 32
	if len(b) < version+random {
		return "", false
	}
	b = b[version+random:]
	for _, size := range [...]int{1, 2, 1} { // session, cipher suites, compression
		if _, b, ok = vector(b, size); !ok {
			return "", false
		}
	}
	if len(b) == 0 {
		return "", true // before extensions
	}
	extensions, b, ok := vector(b, 2)
	if !ok || len(b) > 0 {
		return "", false
	}
	named := false
	for len(extensions) > 0 {
		if len(extensions) < 2 {
			return "", false
		}
		kind := binary.BigEndian.Uint16(extensions)
		var body []byte
		if body, extensions, ok = vector(extensions[2:], 2); !ok {
			return "", false
		}
		if kind != 0 {
			continue
		}
		if named {
			return "", false // said twice, which each reader settles otherwise
		}
		named = true
		if name, ok = listedName(body); !ok {
			return "", false
		}
	}
	return name, true
}

// listedName is the one host name of a ServerNameList.
func listedName(b []byte) (name string, ok bool) {
	list, b, ok := vector(b, 2)
	if !ok || len(b) > 0 || len(list) == 0 || list[0] != 0 {
		return "", false
	}
	text, list, ok := vector(list[1:], 2)
	if !ok || len(list) > 0 || len(text) == 0 || len(text) > 255 {
		return "", false
	}
	for _, c := range text {
		if c <= ' ' || c >= 0x7f {
			return "", false
		}
	}
	return strings.TrimSuffix(strings.ToLower(string(text)), "."), true
}
