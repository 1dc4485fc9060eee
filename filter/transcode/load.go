package transcode

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/naru-mesh/naru/model"
)

// mapping is what a descriptor set says about HTTP. It does not change.
type mapping struct {
	root     tree
	rules    []*rule
	resolver resolver
}

// rule stands for a gRPC method.
type rule struct {
	verb     string // the HTTP method
	path     string // the template as written
	template *template
	method   protoreflect.MethodDescriptor
	calls    []byte                           // "/pkg.Service/Method"
	fields   [][]protoreflect.FieldDescriptor // of the variables
	whole    bool                             // body: "*"
	body     protoreflect.FieldDescriptor     // body: a field
	answer   protoreflect.FieldDescriptor     // response_body
}

// String is for naru explain.
func (r *rule) String() string {
	return r.verb + " " + r.path + " -> " + string(r.calls[1:])
}

// load reads the file of t and maps its services.
func load(t *model.Transcode) (*mapping, error) {
	data, err := os.ReadFile(t.Descriptors)
	if err != nil {
		return nil, fmt.Errorf("the descriptors cannot be read: %w", err)
	}
	m, err := parse(data, t)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t.Descriptors, err)
	}
	return m, nil
}

func parse(data []byte, t *model.Transcode) (*mapping, error) {
	set := &descriptorpb.FileDescriptorSet{}
	if err := proto.Unmarshal(data, set); err != nil || len(set.File) == 0 {
		return nil, fmt.Errorf("this is not a descriptor set: write it with protoc --include_imports --descriptor_set_out=FILE")
	}
	files, err := protodesc.NewFiles(set)
	if err != nil {
		return nil, fmt.Errorf("the descriptor set is not complete: %v (write it with protoc --include_imports)", err)
	}
	m := &mapping{resolver: resolver{dynamicpb.NewTypes(files)}}
	services, err := wanted(files, t.Services)
	if err != nil {
		return nil, err
	}
	for _, s := range services {
		before := len(m.rules)
		for i := range s.Methods().Len() {
			if err := m.method(s.Methods().Get(i), t.Auto); err != nil {
				return nil, err
			}
		}
		if len(m.rules) == before && len(t.Services) > 0 {
			return nil, fmt.Errorf("no method of service %s has a google.api.http rule: annotate them, or say auto: true", s.FullName())
		}
	}
	if len(m.rules) == 0 {
		return nil, fmt.Errorf("no method has a google.api.http rule: annotate them, or say auto: true")
	}
	return m, nil
}

// wanted are the services by the names that were given, or all.
func wanted(files *protoregistry.Files, names []string) (list []protoreflect.ServiceDescriptor, err error) {
	var all []protoreflect.ServiceDescriptor
	files.RangeFiles(func(f protoreflect.FileDescriptor) bool {
		for i := range f.Services().Len() {
			all = append(all, f.Services().Get(i))
		}
		return true
	})
	slices.SortFunc(all, func(a, b protoreflect.ServiceDescriptor) int {
		return strings.Compare(string(a.FullName()), string(b.FullName()))
	})
	if len(names) == 0 {
		return all, nil
	}
	for _, name := range names {
		i := slices.IndexFunc(all, func(s protoreflect.ServiceDescriptor) bool { return string(s.FullName()) == name })
		if i < 0 {
			var known []string
			for _, s := range all {
				known = append(known, string(s.FullName()))
			}
			return nil, fmt.Errorf("there is no service %s; there is %s", name, strings.Join(known, ", "))
		}
		list = append(list, all[i])
	}
	return list, nil
}

// method adds the rules of a method.
func (m *mapping) method(d protoreflect.MethodDescriptor, auto bool) error {
	if d.IsStreamingClient() {
		return nil
	}
	h, _ := proto.GetExtension(d.Options(), annotations.E_Http).(*annotations.HttpRule)
	if h.GetPattern() == nil {
		if !auto {
			return nil
		}
		h = &annotations.HttpRule{
			Pattern: &annotations.HttpRule_Post{Post: fmt.Sprintf("/%s/%s", d.Parent().FullName(), d.Name())}, Body: "*",
		}
	}
	for _, one := range append([]*annotations.HttpRule{h}, h.GetAdditionalBindings()...) {
		r, err := newRule(d, one)
		if err != nil {
			return fmt.Errorf("the http rule of %s: %w", d.FullName(), err)
		}
		if other := m.root.add(r); other != nil {
			return fmt.Errorf("%s %s is the rule of both %s and %s", r.verb, r.path, other.method.FullName(), d.FullName())
		}
		m.rules = append(m.rules, r)
	}
	return nil
}

func newRule(d protoreflect.MethodDescriptor, h *annotations.HttpRule) (*rule, error) {
	r := &rule{method: d, calls: fmt.Appendf(nil, "/%s/%s", d.Parent().FullName(), d.Name())}
	switch p := h.GetPattern().(type) {
	case *annotations.HttpRule_Get:
		r.verb, r.path = "GET", p.Get
	case *annotations.HttpRule_Put:
		r.verb, r.path = "PUT", p.Put
	case *annotations.HttpRule_Post:
		r.verb, r.path = "POST", p.Post
	case *annotations.HttpRule_Delete:
		r.verb, r.path = "DELETE", p.Delete
	case *annotations.HttpRule_Patch:
		r.verb, r.path = "PATCH", p.Patch
	case *annotations.HttpRule_Custom:
		r.verb, r.path = p.Custom.GetKind(), p.Custom.GetPath()
	default:
		return nil, fmt.Errorf("it has no path")
	}
	var err error
	if r.template, err = parseTemplate(r.path); err != nil {
		return nil, fmt.Errorf("the path %q: %w", r.path, err)
	}
	for _, v := range r.template.variables {
		fields, err := fieldPath(d.Input(), v.field)
		if err == nil && len(fields) > 0 {
			if last := fields[len(fields)-1]; last.IsList() || last.IsMap() {
				err = fmt.Errorf("%s is repeated", v.field)
			}
		}
		if err != nil {
			return nil, fmt.Errorf("the path %q: %w", r.path, err)
		}
		r.fields = append(r.fields, fields)
	}
	switch h.GetBody() {
	case "":
	case "*":
		r.whole = true
	default:
		if r.body = d.Input().Fields().ByName(protoreflect.Name(h.GetBody())); r.body == nil {
			return nil, fmt.Errorf("the body %q is no field of %s", h.GetBody(), d.Input().FullName())
		}
	}
	if name := h.GetResponseBody(); name != "" {
		if r.answer = d.Output().Fields().ByName(protoreflect.Name(name)); r.answer == nil {
			return nil, fmt.Errorf("the response body %q is no field of %s", name, d.Output().FullName())
		}
	}
	return r, nil
}

// fieldPath finds a field by its path of names: as in the .proto file, or as
// in JSON.
func fieldPath(d protoreflect.MessageDescriptor, path string) (all []protoreflect.FieldDescriptor, err error) {
	for name := range strings.SplitSeq(path, ".") {
		if d == nil {
			return nil, fmt.Errorf("%s holds no fields", all[len(all)-1].FullName())
		}
		f := d.Fields().ByName(protoreflect.Name(name))
		if f == nil {
			f = d.Fields().ByJSONName(name)
		}
		if f == nil {
			return nil, fmt.Errorf("%s has no field %s", d.FullName(), name)
		}
		all = append(all, f)
		d = nil
		if f.Kind() == protoreflect.MessageKind && !f.IsList() && !f.IsMap() {
			d = f.Message()
		}
	}
	return all, nil
}

// resolver finds the types within google.protobuf.Any: those of the
// descriptors, then the well-known ones.
type resolver struct{ *dynamicpb.Types }

// FindMessageByName is protojson's.
func (r resolver) FindMessageByName(name protoreflect.FullName) (protoreflect.MessageType, error) {
	if t, err := r.Types.FindMessageByName(name); err == nil {
		return t, nil
	}
	return protoregistry.GlobalTypes.FindMessageByName(name)
}

// FindMessageByURL is protojson's.
func (r resolver) FindMessageByURL(url string) (protoreflect.MessageType, error) {
	if t, err := r.Types.FindMessageByURL(url); err == nil {
		return t, nil
	}
	return protoregistry.GlobalTypes.FindMessageByURL(url)
}
