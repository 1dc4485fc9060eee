package link

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"reflect"

	"github.com/naru-mesh/naru/model"
)

// Kind is which noun a Resource is.
type Kind uint8

// The kinds that travel. Settings are local to a process, and do not.
const (
	KindMesh Kind = iota + 1
	KindService
	KindWorkload
	KindPolicy
	KindRoute
	KindFlow
	KindListener
	KindCertificate
	KindTraffic
	kinds // how many, with 0
)

var kindNames = [kinds]string{"?", "Mesh", "Service", "Workload", "Policy", "Route", "Flow", "Listener", "Certificate", "TrafficPolicy"}

func (k Kind) String() string {
	if k < kinds {
		return kindNames[k]
	}
	return kindNames[0]
}

// nouns are the types that resources are decoded into.
var nouns = [kinds]reflect.Type{
	KindMesh: reflect.TypeFor[model.Mesh](), KindService: reflect.TypeFor[model.Service](), KindWorkload: reflect.TypeFor[model.Workload](),
	KindPolicy: reflect.TypeFor[model.Policy](), KindRoute: reflect.TypeFor[model.Route](), KindFlow: reflect.TypeFor[model.Flow](),
	KindListener: reflect.TypeFor[model.Listener](), KindCertificate: reflect.TypeFor[model.Certificate](),
	KindTraffic: reflect.TypeFor[model.TrafficPolicy](),
}

// Name names a resource.
type Name struct {
	Kind Kind
	Name string
}

func (n Name) String() string { return n.Kind.String() + " " + n.Name }

// Resource is one noun as it travels.
type Resource struct {
	Name
	// Sum is the hash of Body, eight bytes.
	Sum string
	// Body is the noun, encoded.
	Body string
}

// meshName is what the only Mesh is called.
const meshName = "mesh"

// Bounds of what travels.
const (
	// mostBody bounds one resource. Larger ones are not sent, and said.
	mostBody = 4 << 20
	// mostChunk is about how much of an update goes in one message.
	mostChunk = 256 << 10
	// mostMessage is what is taken at most, on either side.
	mostMessage = mostBody + mostChunk + 64<<10
	sumLength   = 8
)

// frameOf encodes a noun as it stands in every update: kind, name, sum, body.
func frameOf(name Name, noun any) (frame []byte, sum string) {
	body := encode(nil, noun)
	hash := sha256.Sum256(body)
	frame = make([]byte, 0, len(body)+len(name.Name)+sumLength+2*binary.MaxVarintLen32+1)
	frame = append(frame, byte(name.Kind))
	frame = binary.AppendUvarint(frame, uint64(len(name.Name)))
	frame = append(frame, name.Name...)
	frame = append(frame, hash[:sumLength]...)
	frame = binary.AppendUvarint(frame, uint64(len(body)))
	return append(frame, body...), string(hash[:sumLength])
}

// readFrame takes one frame from the beginning of in.
func readFrame(in string) (r Resource, rest string, err error) {
	if in == "" {
		return r, "", errShort
	}
	d := decoder{in: in[1:]}
	r.Kind = Kind(in[0])
	if r.Name.Name, err = d.text(); err != nil {
		return r, "", err
	}
	if len(d.in) < sumLength {
		return r, "", errShort
	}
	r.Sum, d.in = d.in[:sumLength], d.in[sumLength:]
	r.Body, err = d.text()
	return r, d.in, err
}

// noun decodes a resource. A kind that is not known here gives nil.
func (r *Resource) noun() (any, error) {
	if r.Kind == 0 || r.Kind >= kinds {
		return nil, nil
	}
	if hash := sha256.Sum256([]byte(r.Body)); string(hash[:sumLength]) != r.Sum {
		return nil, fmt.Errorf("%w: the body is not what was sent", errMalformed)
	}
	p := reflect.New(nouns[r.Kind]).Interface()
	if err := decode(r.Body, p); err != nil {
		return nil, err
	}
	if name := nameOf(p); name != r.Name {
		return nil, fmt.Errorf("%w: it is %s inside", errMalformed, name)
	}
	return p, nil
}

func nameOf(noun any) Name {
	switch x := noun.(type) {
	case *model.Mesh:
		return Name{KindMesh, meshName}
	case *model.Service:
		return Name{KindService, x.Name}
	case *model.Workload:
		return Name{KindWorkload, x.Name}
	case *model.Policy:
		return Name{KindPolicy, x.Name}
	case *model.Route:
		return Name{KindRoute, x.Name}
	case *model.Flow:
		return Name{KindFlow, x.Name}
	case *model.Listener:
		return Name{KindListener, x.Name}
	case *model.Certificate:
		return Name{KindCertificate, x.Name}
	case *model.TrafficPolicy:
		return Name{KindTraffic, x.Name}
	}
	return Name{}
}

func originOf(noun any) model.Origin {
	switch x := noun.(type) {
	case *model.Mesh:
		return x.Origin
	case *model.Service:
		return x.Origin
	case *model.Workload:
		return x.Origin
	case *model.Policy:
		return x.Origin
	case *model.Route:
		return x.Origin
	case *model.Flow:
		return x.Origin
	case *model.Listener:
		return x.Origin
	case *model.Certificate:
		return x.Origin
	case *model.TrafficPolicy:
		return x.Origin
	}
	return model.Origin{}
}

// each visits the nouns of c that travel.
func each(c *model.Config, visit func(noun any)) {
	if c.Mesh != nil {
		visit(c.Mesh)
	}
	all(c.Services, visit)
	all(c.Workloads, visit)
	all(c.Policies, visit)
	all(c.Routes, visit)
	all(c.Flows, visit)
	all(c.Listeners, visit)
	all(c.Certificates, visit)
	all(c.Traffic, visit)
}

func all[T any](list []*T, visit func(any)) {
	for _, x := range list {
		visit(x)
	}
}

// add puts a noun into a Config.
func add(c *model.Config, noun any) {
	switch x := noun.(type) {
	case *model.Mesh:
		c.Mesh = x
	case *model.Service:
		c.Services = append(c.Services, x)
	case *model.Workload:
		c.Workloads = append(c.Workloads, x)
	case *model.Policy:
		c.Policies = append(c.Policies, x)
	case *model.Route:
		c.Routes = append(c.Routes, x)
	case *model.Flow:
		c.Flows = append(c.Flows, x)
	case *model.Listener:
		c.Listeners = append(c.Listeners, x)
	case *model.Certificate:
		c.Certificates = append(c.Certificates, x)
	case *model.TrafficPolicy:
		c.Traffic = append(c.Traffic, x)
	}
}
