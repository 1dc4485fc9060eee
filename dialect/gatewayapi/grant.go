package gatewayapi

import (
	gateway "sigs.k8s.io/gateway-api/apis/v1"
)

// grant is a ReferenceGrant: it permits what is in its namespace to be
// referred to from another.
type grant struct {
	object
	from []gateway.ReferenceGrantFrom
	to   []gateway.ReferenceGrantTo
}

// referenceGrant reads a ReferenceGrant.
func (r *reader) referenceGrant(k *servedKind) *grant {
	var in gateway.ReferenceGrant
	r.decode(&in)
	o := r.object(k, &in.ObjectMeta)
	if o == nil {
		return nil
	}
	g := &grant{object: *o}
	if r.spoiledBeside("spec", "from", "to") {
		return nil
	}
	if len(in.Spec.From) == 0 && !r.spoiled("spec.from") {
		r.broken("spec", "missing-field", "a ReferenceGrant has from", "")
	}
	if len(in.Spec.To) == 0 && !r.spoiled("spec.to") {
		r.broken("spec", "missing-field", "a ReferenceGrant has to", "")
	}
	for i, f := range in.Spec.From {
		field := item("spec.from", i)
		switch {
		case r.spoiled(field):
		case f.Kind == "":
			r.broken(field, "missing-field", "kind is missing", "HTTPRoute or Gateway")
		case f.Namespace == "":
			r.broken(field, "missing-field", "namespace is missing", "")
		default:
			g.from = append(g.from, f)
		}
	}
	for i, t := range in.Spec.To {
		field := item("spec.to", i)
		switch {
		case r.spoiled(field):
		case t.Kind == "":
			r.broken(field, "missing-field", "kind is missing", "Service or Secret")
		default:
			g.to = append(g.to, t)
		}
	}
	return g
}

// permits says whether the grant permits an object of a kind in a namespace to
// refer to an object of the core group.
func (g *grant) permits(fromKind, fromNamespace, toKind, toName string) bool {
	from := false
	for _, f := range g.from {
		from = from || f.Group == gatewayGroup && string(f.Kind) == fromKind && string(f.Namespace) == fromNamespace
	}
	if !from {
		return false
	}
	for _, t := range g.to {
		if t.Group == coreGroup && string(t.Kind) == toKind && (t.Name == nil || string(*t.Name) == toName) {
			return true
		}
	}
	return false
}
