package gatewayapi

import (
	"strings"

	"go.yaml.in/yaml/v3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/naru-mesh/naru/dialect"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/source"
)

// defaultNamespace is where an object without a namespace is.
const defaultNamespace = "default"

// key names an object among those of its kind.
type key struct {
	namespace, name string
}

func (k key) String() string {
	if k.namespace == "" {
		return k.name
	}
	return k.namespace + "/" + k.name
}

// object is what all compact forms have in common.
type object struct {
	key
	kind       string
	generation int64
	created    int64 // Unix seconds; 0 when unknown
	// at is where messages about the object as a whole point.
	at model.Origin
	// text and base lead back to the YAML: base is the object's path in it.
	text source.Document
	base string
}

// compact is one of the compact forms, each of which embeds an object.
type compact interface{ common() *object }

func (o *object) common() *object { return o }

// about names the object for people and for Origin.Object.
func (o *object) about() string { return o.kind + " " + o.String() }

// older orders objects as Gateway API breaks ties: by age, then by name. An
// unknown age is the oldest.
func (o *object) older(other *object) bool {
	if o.created != other.created {
		return o.created < other.created
	}
	if o.namespace != other.namespace {
		return o.namespace < other.namespace
	}
	return o.name < other.name
}

// reader reads one object and notes every mistake at its place.
type reader struct {
	doc      *dialect.Document
	node     *yaml.Node
	base     string // path of node in the document
	about    string // of the object, as soon as its name is known
	home     string // namespace of the object
	problems []model.Problem
	touched  []string                      // fields that did not decode
	key      func(expression string) error // see Dialect.Key
}

// full is the path in the document of a field of the object.
func (r *reader) full(field string) string {
	switch {
	case r.base == "":
		return field
	case field == "":
		return r.base
	default:
		return r.base + "." + field
	}
}

// child gives the node of a top-level field of the object, or nil.
func (r *reader) child(name string) *yaml.Node {
	for i := 0; i+1 < len(r.node.Content); i += 2 {
		if r.node.Content[i].Value == name {
			return r.node.Content[i+1]
		}
	}
	return nil
}

// broken notes a mistake that takes something out of service.
func (r *reader) broken(field, code, message, hint string) *model.Problem {
	path := r.full(field)
	r.problems = append(r.problems, r.doc.Problem(r.doc.At(path), path, code, message, hint))
	return &r.problems[len(r.problems)-1]
}

// doubtful notes what serves, but probably not as meant.
func (r *reader) doubtful(field, code, message, hint string) {
	r.broken(field, code, message, hint).Severity = model.Doubtful
}

// decode reads the object into a type of the API.
func (r *reader) decode(into any) {
	for _, p := range r.doc.Decode(r.node, r.base, into) {
		r.problems = append(r.problems, p)
		if p.Severity == model.Broken {
			r.touched = append(r.touched, strings.TrimPrefix(strings.TrimPrefix(p.Origin.Field, r.base), "."))
		}
	}
}

// spoiled says whether something at field, or inside it, did not decode: it
// must not be used, because what is missing might have narrowed it.
func (r *reader) spoiled(field string) bool {
	for _, t := range r.touched {
		if rest, ok := strings.CutPrefix(t, field); ok && (rest == "" || rest[0] == '.' || rest[0] == '[') {
			return true
		}
	}
	return false
}

// spoiledBeside is spoiled, except for what is inside the items of the lists:
// those are judged one by one.
func (r *reader) spoiledBeside(field string, lists ...string) bool {
next:
	for _, t := range r.touched {
		rest, ok := strings.CutPrefix(t, field)
		if !ok || rest != "" && rest[0] != '.' {
			continue
		}
		for _, list := range lists {
			if strings.HasPrefix(rest, "."+list+"[") {
				continue next
			}
		}
		return true
	}
	return false
}

// object makes what all compact forms have in common; nil, with a Problem,
// when the object has no name.
func (r *reader) object(k *servedKind, meta *metav1.ObjectMeta) *object {
	o := &object{
		key:        key{meta.Namespace, meta.Name},
		kind:       k.kind,
		generation: meta.Generation,
		text:       r.doc.Document,
		base:       r.base,
	}
	if !meta.CreationTimestamp.IsZero() {
		o.created = meta.CreationTimestamp.Unix()
	}
	switch {
	case k.cluster:
		o.namespace = ""
	case o.namespace == "":
		o.namespace = defaultNamespace
	}
	if o.name == "" {
		if !r.spoiled("metadata") {
			r.broken("metadata", "missing-field", "metadata.name is missing", "")
		}
		return nil
	}
	// Names become parts of the names of nouns, which are told apart by / and :.
	wrong, field := o.name, "metadata.name"
	if isName(o.name) && o.namespace != "" {
		wrong, field = o.namespace, "metadata.namespace"
	}
	if !isName(wrong) {
		r.broken(field, "bad-value", wrong+" is not a name", "names are of a-z, 0-9, - and .")
		return nil
	}
	r.about, r.home = o.about(), o.namespace
	path := r.full("metadata.name")
	o.at = r.doc.Origin(r.doc.At(path), path)
	o.at.Object = r.about
	return o
}

// named gives the Problems, each with the name of the object.
func (r *reader) named() []model.Problem {
	for i := range r.problems {
		r.problems[i].Origin.Object = r.about
	}
	return r.problems
}

// origin is the place of a field of the object.
func (r *reader) origin(field string) model.Origin {
	path := r.full(field)
	at := r.doc.Origin(r.doc.At(path), path)
	at.Object = r.about
	return at
}
