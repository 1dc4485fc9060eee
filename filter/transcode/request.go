package transcode

import (
	"encoding/binary"
	"encoding/json"
	"errors"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/naru-mesh/naru/filter"
	"github.com/naru-mesh/naru/observe"
)

// call is one exchange on its way through a rule. It is the Body of the
// request, which makes one gRPC message of the whole JSON body; its answering
// half is the Body of the response.
type call struct {
	mapping *mapping
	rule    *rule
	part    *dynamicpb.Message // what path and query said
	limit   int64
	sent    string // Content-Type of the request
	lines   bool   // a stream is wanted line by line
}

// Close is filter.Body's.
func (c *call) Close() {}

// Pass is filter.Body's: nothing goes to the service before all is here, for a
// gRPC message begins with its length.
func (c *call) Pass(x *filter.Exchange, p *filter.Piece) filter.Step {
	if int64(len(p.In)) > c.limit {
		c.mapping.refuse(x, observe.BodyTooLarge, 413, observe.GRPCResourceExhausted, c.tooLarge())
		return filter.Failed
	}
	if p.End == nil {
		return filter.Held // what stays in p.In comes again
	}
	message, err := c.message(p.In)
	if err != nil {
		c.mapping.refuse(x, observe.BadMessage, 400, observe.GRPCInvalidArgument, err.Error())
		return filter.Failed
	}
	out, err := frame(message)
	switch {
	case err != nil:
		c.mapping.refuse(x, observe.BadMessage, 400, observe.GRPCInvalidArgument, err.Error())
		return filter.Failed
	case int64(len(out)) > c.limit+prefix:
		c.mapping.refuse(x, observe.BodyTooLarge, 413, observe.GRPCResourceExhausted, c.tooLarge())
		return filter.Failed
	}
	for i := range p.End.Fields {
		p.End.Fields[i].Dropped = true // a gRPC request has no trailers
	}
	p.In, p.Out = nil, out
	return filter.Passed
}

// prefix is what stands before a gRPC message: a flag and the length.
const prefix = 5

// frame makes one gRPC message.
func frame(m proto.Message) ([]byte, error) {
	out, err := proto.MarshalOptions{}.MarshalAppend(make([]byte, prefix, prefix+64), m)
	if err != nil {
		return nil, errors.New("the message is not complete")
	}
	binary.BigEndian.PutUint32(out[1:], uint32(len(out)-prefix))
	return out, nil
}

// message makes the request message of the body and of what path and query
// said.
func (c *call) message(body []byte) (proto.Message, error) {
	r := c.rule
	m := dynamicpb.NewMessage(r.method.Input())
	switch {
	case r.whole && isRaw(r.method.Input()):
		setRaw(m, c.sent, body)
	case r.whole && len(body) > 0:
		if err := c.read(body, m); err != nil {
			return nil, err
		}
	case r.body != nil && r.body.Kind() == protoreflect.MessageKind && !r.body.IsList() && !r.body.IsMap() && isRaw(r.body.Message()):
		setRaw(m.Mutable(r.body).Message(), c.sent, body)
	case r.body != nil && len(body) > 0:
		if !json.Valid(body) {
			return nil, errors.New("the body is not JSON")
		}
		whole := append(append([]byte("{"+quote(r.body.JSONName())+":"), body...), '}')
		if err := c.read(whole, m); err != nil {
			return nil, err
		}
	}
	proto.Merge(m, c.part)
	return m, nil
}

func (c *call) read(text []byte, m proto.Message) error {
	if err := (protojson.UnmarshalOptions{Resolver: c.mapping.resolver}).Unmarshal(text, m); err != nil {
		return errors.New("the body does not fit " + string(c.rule.method.Input().FullName()) + ": " + plain(err))
	}
	return nil
}

// plain is an error of protojson without the name of the library, which has a
// blank that differs from build to build.
func plain(err error) string {
	s := []rune(err.Error())
	for i, c := range s {
		if c == ':' && i < 8 {
			s = s[i+1:]
			break
		}
	}
	for len(s) > 0 && (s[0] == ' ' || s[0] == '\u00a0') {
		s = s[1:]
	}
	for i, c := range s {
		if c == '\u00a0' {
			s[i] = ' '
		}
	}
	return string(s)
}

// isRaw says whether a message is google.api.HttpBody: content of any type, as
// it is.
func isRaw(d protoreflect.MessageDescriptor) bool { return d.FullName() == "google.api.HttpBody" }

func setRaw(m protoreflect.Message, typ string, body []byte) {
	f := m.Descriptor().Fields()
	m.Set(f.ByName("content_type"), protoreflect.ValueOfString(typ))
	m.Set(f.ByName("data"), protoreflect.ValueOfBytes(append([]byte(nil), body...)))
}
