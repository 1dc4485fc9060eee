package short

import (
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/naru-mesh/naru/dialect"
	"github.com/naru-mesh/naru/model"
)

// calls are the words of a route under grpc.
type calls struct{ web, metrics bool }

// ReadNode takes web, metrics, or a list of them.
func (c *calls) ReadNode(in *dialect.Decoder, n *yaml.Node) {
	nodes := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		nodes = n.Content
	}
	for _, node := range nodes {
		switch node.Value {
		case "web":
			c.web = true
		case "metrics":
			c.metrics = true
		default:
			in.Wrong(node, "web or metrics", "NAME: web, or NAME: [web, metrics]; gRPC itself needs no word")
		}
	}
}

// transcode lets clients call a gRPC service with JSON.
type transcode struct {
	Descriptors text      `json:"descriptors" doc:"file that protoc --descriptor_set_out --include_imports wrote, seen from the configuration's folder; read again when it changes"`
	Services    words     `json:"services" doc:"full names, such as shop.v1.Orders: one or a list" default:"all of the file"`
	Auto        bool      `json:"auto" doc:"methods without a google.api.http rule are called by POST /shop.v1.Orders/Get" default:"false"`
	MaxBytes    *byteSize `json:"maxBytes" doc:"one message, as JSON and as protobuf; 413 beyond" default:"4MiB" unit:"bytes"`
	_           struct{}  `also:"descriptor,proto,protos,protoDescriptor,file,protoset,descriptorSet" hint:"did you mean descriptors? For example descriptors: shop.pb"`
	_           struct{}  `also:"service" hint:"did you mean services? It may be a list"`
	_           struct{}  `also:"autoMapping,autoMap" hint:"did you mean auto?"`
}

// ReadNode takes a file or an object.
func (t *transcode) ReadNode(in *dialect.Decoder, n *yaml.Node) {
	before := in.Broken()
	if n.Kind == yaml.MappingNode {
		type plain transcode
		in.Into(n, (*plain)(t))
	} else {
		in.Into(n, &t.Descriptors)
	}
	if t.Descriptors == "" && in.Broken() == before {
		in.Problem(n, "bad-value", "the translation to gRPC needs descriptors", "for example transcode: {descriptors: shop.pb}")
	}
	for _, s := range t.Services {
		if s == "" || strings.ContainsAny(s, "/ ") || s[0] == '.' {
			in.Problem(n, "bad-value", "a gRPC service has a full name, such as shop.v1.Orders: "+strconv.Quote(s), "")
		}
	}
	if t.MaxBytes != nil && *t.MaxBytes < 0 {
		in.Problem(n, "bad-value", "a message is always bounded, because it is kept as a whole", "leave maxBytes out for the default, 4MiB")
	}
}

func (t *transcode) noun(doc string) *model.Transcode {
	folder := ""
	if doc != "" {
		folder = filepath.Dir(doc)
	}
	m := &model.Transcode{Descriptors: beside(folder, string(t.Descriptors)), Services: t.Services, Auto: t.Auto}
	if t.MaxBytes != nil {
		m.MaxBytes = int64(*t.MaxBytes)
	}
	return m
}

// grpcHeaders are what a page has to see of a call: nothing else says how it
// ended.
var grpcHeaders = []string{"grpc-status", "grpc-message", "grpc-status-details-bin", "x-naru-reason"}

// exposeStatus lets pages read a call's status.
func exposeStatus(c *model.CORS) {
	if slices.Contains(c.ExposeHeaders, "*") {
		return
	}
	c.ExposeHeaders = slices.Clone(c.ExposeHeaders)
	for _, name := range grpcHeaders {
		if !slices.ContainsFunc(c.ExposeHeaders, func(have string) bool { return strings.EqualFold(have, name) }) {
			c.ExposeHeaders = append(c.ExposeHeaders, name)
		}
	}
}

// serviceProtocols are the values of a service's protocol.
var serviceProtocols = []string{string(model.HTTP1), string(model.HTTP2), string(model.HTTPAuto)}
