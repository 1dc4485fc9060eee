package transcode

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/url"

	_ "google.golang.org/genproto/googleapis/rpc/errdetails" // what Status.details usually holds
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/naru-mesh/naru/filter"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// httpStatuses are the HTTP statuses of gRPC's, as google.rpc.Code has them.
var httpStatuses = [observe.GRPCCodes]int{
	observe.GRPCOK: 200, observe.GRPCCancelled: 499, observe.GRPCUnknown: 500, observe.GRPCInvalidArgument: 400,
	observe.GRPCDeadlineExceeded: 504, observe.GRPCNotFound: 404, observe.GRPCAlreadyExists: 409,
	observe.GRPCPermissionDenied: 403, observe.GRPCUnauthenticated: 401, observe.GRPCResourceExhausted: 429,
	observe.GRPCFailedPrecondition: 400, observe.GRPCAborted: 409, observe.GRPCOutOfRange: 400,
	observe.GRPCUnimplemented: 501, observe.GRPCInternal: 500, observe.GRPCUnavailable: 503, observe.GRPCDataLoss: 500,
}

// httpStatus of a gRPC status.
func httpStatus(code observe.GRPCCode) int {
	if code >= observe.GRPCCodes {
		code = observe.GRPCUnknown
	}
	return httpStatuses[code]
}

const jsonType = "application/json"

var keyDetails = wire.KeyOf("grpc-status-details-bin")

// statusOf reads the status in trailers, or in a head that is all there is.
// None at all is UNKNOWN.
func statusOf(h *wire.Head) *spb.Status {
	code, ok := h.GRPCStatus()
	if !ok {
		return &spb.Status{Code: int32(observe.GRPCUnknown), Message: "the response has no status"}
	}
	s := &spb.Status{}
	if v, ok := h.Get(keyDetails); ok {
		raw, err := base64.RawStdEncoding.DecodeString(unpadded(string(v)))
		if err == nil && proto.Unmarshal(raw, s) == nil && s.Code == int32(code) {
			return s
		}
	}
	s = &spb.Status{Code: int32(code)}
	if v, ok := h.Get(wire.KeyGRPCMessage); ok {
		s.Message = string(v)
		if plain, err := url.PathUnescape(s.Message); err == nil {
			s.Message = plain
		}
	}
	return s
}

func unpadded(s string) string {
	for len(s) > 0 && s[len(s)-1] == '=' {
		s = s[:len(s)-1]
	}
	return s
}

// statusJSON is a google.rpc.Status as JSON. Details whose type nobody knows
// are left out.
func (m *mapping) statusJSON(s *spb.Status) []byte {
	text, err := protojson.MarshalOptions{Resolver: m.resolver}.Marshal(s)
	if err != nil {
		text, err = protojson.Marshal(&spb.Status{Code: s.Code, Message: s.Message})
	}
	if err != nil {
		text = []byte(`{"code":13}`) // a message that is not UTF-8
	}
	return compact(text)
}

// compact takes out the blanks that protojson puts in by chance.
func compact(text []byte) []byte {
	var out bytes.Buffer
	if json.Compact(&out, text) != nil {
		return text
	}
	return out.Bytes()
}

// refuse answers a request that cannot become a call.
func (m *mapping) refuse(x *filter.Exchange, why observe.Reason, status int, code observe.GRPCCode, message string) filter.Verdict {
	body := append(m.statusJSON(&spb.Status{Code: int32(code), Message: message}), '\n')
	v := x.Reply(why, status, body)
	x.Response.AddString(wire.KeyContentType, jsonType)
	return v
}
