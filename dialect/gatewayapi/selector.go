package gatewayapi

import (
	"slices"

	core "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// namespaceName is the label that every namespace has, with its own name.
const namespaceName = "kubernetes.io/metadata.name"

// namespace is a Namespace.
type namespace struct {
	object
	labels map[string]string
}

// namespace reads a Namespace.
func (r *reader) namespace(k *servedKind) *namespace {
	var in core.Namespace
	r.decode(&in)
	o := r.object(k, &in.ObjectMeta)
	if o == nil {
		return nil
	}
	return &namespace{object: *o, labels: in.Labels}
}

// selector chooses namespaces by their labels.
type selector struct {
	labels      map[string]string
	expressions []metav1.LabelSelectorRequirement
}

// selector reads a label selector. One that is not valid chooses nothing, as
// nil does.
func (r *reader) selector(field string, in *metav1.LabelSelector) *selector {
	if in == nil {
		return nil
	}
	before := len(r.problems)
	out := &selector{labels: in.MatchLabels}
	for i, e := range in.MatchExpressions {
		at := item(field+".matchExpressions", i)
		known := r.oneOf(at+".operator", string(e.Operator), string(metav1.LabelSelectorOpIn),
			string(metav1.LabelSelectorOpNotIn), string(metav1.LabelSelectorOpExists), string(metav1.LabelSelectorOpDoesNotExist))
		values := e.Operator == metav1.LabelSelectorOpIn || e.Operator == metav1.LabelSelectorOpNotIn
		switch {
		case !known:
		case values && len(e.Values) == 0:
			r.broken(at, "missing-field", "the operator "+string(e.Operator)+" has values", "")
		case !values && len(e.Values) > 0:
			r.broken(at+".values", "conflict", "the operator "+string(e.Operator)+" has no values", "")
		}
		out.expressions = append(out.expressions, e)
	}
	if len(r.problems) > before {
		return nil
	}
	return out
}

// chooses says whether a namespace with these labels is chosen.
func (s *selector) chooses(name string, labels map[string]string) bool {
	if s == nil {
		return false
	}
	get := func(label string) (string, bool) {
		if label == namespaceName {
			return name, true
		}
		v, ok := labels[label]
		return v, ok
	}
	for label, want := range s.labels {
		if v, ok := get(label); !ok || v != want {
			return false
		}
	}
	for _, e := range s.expressions {
		v, ok := get(e.Key)
		switch e.Operator {
		case metav1.LabelSelectorOpIn:
			ok = ok && slices.Contains(e.Values, v)
		case metav1.LabelSelectorOpNotIn:
			ok = !ok || !slices.Contains(e.Values, v)
		case metav1.LabelSelectorOpExists:
		case metav1.LabelSelectorOpDoesNotExist:
			ok = !ok
		default:
			ok = false
		}
		if !ok {
			return false
		}
	}
	return true
}
