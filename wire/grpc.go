package wire

import (
	"strconv"
	"time"

	"github.com/naru-mesh/naru/observe"
)

// RPC is the form in which a message carries a gRPC call.
type RPC uint8

const (
	NoRPC       RPC = iota
	GRPC            // application/grpc: status in trailers
	GRPCWeb         // application/grpc-web: trailers at the end of the body
	GRPCWebText     // application/grpc-web-text: the same in base64
)

const grpcType = "application/grpc"

// RPCOf tells by a Content-Type: application/grpc, -web or -web-text, perhaps
// with +proto, +json or another codec, perhaps with parameters.
func RPCOf(contentType []byte) RPC {
	n := len(grpcType)
	if len(contentType) < n || !EqualFold(contentType[:n], grpcType) {
		return NoRPC
	}
	rest, kind := contentType[n:], GRPC
	if len(rest) >= 4 && EqualFold(rest[:4], "-web") {
		rest, kind = rest[4:], GRPCWeb
		if len(rest) >= 5 && EqualFold(rest[:5], "-text") {
			rest, kind = rest[5:], GRPCWebText
		}
	}
	if len(rest) > 0 && rest[0] != '+' && rest[0] != ';' && rest[0] != ' ' && rest[0] != '\t' {
		return NoRPC
	}
	return kind
}

// RPC tells how h carries a gRPC call.
func (h *Head) RPC() RPC {
	if v, ok := h.Get(KeyContentType); ok {
		return RPCOf(v)
	}
	return NoRPC
}

// Keys of gRPC's fields.
var (
	KeyGRPCStatus  = KeyOf("grpc-status")
	KeyGRPCMessage = KeyOf("grpc-message")
	KeyGRPCTimeout = KeyOf("grpc-timeout")
	// KeyGRPCPushback says when a call may be tried again (gRFC A6).
	KeyGRPCPushback = KeyOf("grpc-retry-pushback-ms")
	// KeyReason carries the code of a Reason where the body cannot.
	KeyReason = KeyOf("x-naru-reason")
)

// GRPCStatus reads the grpc-status of trailers, or of a head that has nothing
// behind it. What is not a number, or not there, is UNKNOWN.
func (h *Head) GRPCStatus() (code observe.GRPCCode, ok bool) {
	v, ok := h.Get(KeyGRPCStatus)
	if !ok {
		return observe.GRPCUnknown, false
	}
	n := 0
	for _, c := range v {
		if n = n*10 + int(c-'0'); c < '0' || '9' < c || n >= int(observe.GRPCCodes) {
			return observe.GRPCUnknown, true
		}
	}
	if len(v) == 0 {
		n = int(observe.GRPCUnknown)
	}
	return observe.GRPCCode(n), true
}

// grpcTypes are the Content-Types of naru's own answers.
var grpcTypes = [...]string{GRPC: grpcType, GRPCWeb: grpcType + "-web+proto", GRPCWebText: grpcType + "-web-text+proto"}

// grpcMessages are the titles of Reasons as grpc-message has them.
var grpcMessages = func() (all [observe.Reasons]string) {
	for r := range observe.Reasons {
		all[r] = string(AppendGRPCMessage(nil, r.Info().Title))
	}
	return all
}()

// KeepGRPCProblem makes h the whole of naru's answer to a gRPC call: 200, and
// the status in the head, with nothing behind it ("Trailers-Only", which
// gRPC-Web knows too). It is what KeepProblem is to other requests.
func KeepGRPCProblem(h *Head, why observe.Reason, kind RPC) {
	if why >= observe.Reasons {
		why = observe.Internal
	}
	h.Reset()
	SetGRPCStatus(h, kind, why.GRPC(), grpcMessages[why])
	h.AddString(KeyReason, why.String())
}

// SetGRPCStatus makes h an answer that is nothing but a status; its other
// fields stay. message is as it stands on the wire: see AppendGRPCMessage.
func SetGRPCStatus[T string | []byte](h *Head, kind RPC, code observe.GRPCCode, message T) {
	h.Status, h.Minor, h.Length = 200, 1, 0
	h.SetString(KeyContentType, grpcTypes[kind])
	var digits [4]byte
	h.Set(KeyGRPCStatus, strconv.AppendUint(digits[:0], uint64(code), 10))
	h.Remove(KeyGRPCMessage)
	if len(message) > 0 {
		start := uint32(len(h.Buf))
		h.Buf = append(h.Buf, KeyGRPCMessage.Wire...)
		h.Buf = append(h.Buf, ": "...)
		value := uint32(len(h.Buf))
		h.Buf = append(h.Buf, message...)
		h.endField(KeyGRPCMessage.ID, start, value-2, value)
	}
}

// AppendGRPCMessage appends text as a grpc-message has it: percent-encoded but
// for printable ASCII without the percent sign.
func AppendGRPCMessage[T string | []byte](out []byte, text T) []byte {
	const hex = "0123456789ABCDEF"
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '%' {
			out = append(out, '%', hex[c>>4], hex[c&15])
		} else {
			out = append(out, c)
		}
	}
	return out
}

// grpcUnits of a grpc-timeout, the finest first.
var grpcUnits = [...]struct {
	unit byte
	is   time.Duration
}{{'n', time.Nanosecond}, {'u', time.Microsecond}, {'m', time.Millisecond}, {'S', time.Second}, {'M', time.Minute}, {'H', time.Hour}}

// mostGRPCTimeout keeps 99999999 hours within a Duration, which cannot tell
// them: about 292 years.
const mostGRPCTimeout = 1<<63 - 1

// ParseGRPCTimeout reads a grpc-timeout: at most 8 digits and a unit.
func ParseGRPCTimeout(v []byte) (d time.Duration, ok bool) {
	if len(v) < 2 || len(v) > 9 {
		return 0, false
	}
	n := int64(0)
	for _, c := range v[:len(v)-1] {
		if c < '0' || '9' < c {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	for _, u := range grpcUnits {
		if u.unit != v[len(v)-1] {
			continue
		}
		if n > mostGRPCTimeout/int64(u.is) {
			return mostGRPCTimeout, true
		}
		return time.Duration(n) * u.is, true
	}
	return 0, false
}

// AppendGRPCTimeout writes d in the finest unit that 8 digits have room for,
// rounded down. It is 0n where nothing is left.
func AppendGRPCTimeout(out []byte, d time.Duration) []byte {
	d = max(d, 0)
	for _, u := range grpcUnits {
		if n := int64(d / u.is); n < 1e8 {
			return append(strconv.AppendInt(out, n, 10), u.unit)
		}
	}
	return append(out, "99999999H"...)
}
