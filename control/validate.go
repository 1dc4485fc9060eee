package control

import (
	"slices"

	"github.com/naru-mesh/naru/model"
)

// validate is model.Validate, with the nouns that the last round served in the
// place of those that are refused now. Dialects find most mistakes first; this
// keeps the old version serving for those that only the whole shows.
//
// First the nouns that others name are put back, then, with those in place,
// routes: a route must not fall back only because its listener did.
func (r *round) validate(merged *model.Config) (*model.Config, []model.Problem) {
	valid, problems := r.validator.Validate(merged)
	if r.valid == nil {
		return valid, problems
	}
	whole := *merged
	b := back{names: map[string]bool{}}
	whole.Listeners = putBack(&b, listeners, whole.Listeners, valid.Listeners, r.valid.Listeners)
	whole.Services = putBack(&b, services, whole.Services, valid.Services, r.valid.Services)
	whole.Certificates = putBack(&b, certificates, whole.Certificates, valid.Certificates, r.valid.Certificates)
	whole.Workloads = putBack(&b, workloads, whole.Workloads, valid.Workloads, r.valid.Workloads)
	whole.Policies = putBack(&b, policies, whole.Policies, open(valid.Policies), open(r.valid.Policies))
	whole.Traffic = putBack(&b, traffics, whole.Traffic, valid.Traffic, r.valid.Traffic)
	if was := r.valid.Mesh; was != nil && whole.Mesh != nil && valid.Mesh != whole.Mesh {
		b.places = append(b.places, whole.Mesh.Origin)
		b.notes = append(b.notes, model.Problem{
			Origin: whole.Mesh.Origin, Severity: model.Doubtful, Code: "old-serves",
			Message: "until this is right the version before goes on serving: mesh of " + was.Origin.String(),
		})
		whole.Mesh = was
	}
	var mistakes []model.Problem
	if len(b.places) > 0 {
		complete(&whole, r.valid, b.names)
	}
	valid, problems, mistakes = b.again(&whole, valid, problems, nil)
	b = back{names: b.names}
	whole.Routes = putBack(&b, routes, whole.Routes, valid.Routes, r.valid.Routes)
	whole.Flows = putBack(&b, flows, whole.Flows, valid.Flows, r.valid.Flows)
	if len(b.places) > 0 {
		complete(&whole, r.valid, b.names)
	}
	valid, problems, mistakes = b.again(&whole, valid, problems, mistakes)
	return valid, append(mistakes, problems...)
}

// open leaves out the policies that only refuse because of a mistake.
func open(list []*model.Policy) []*model.Policy {
	closed := func(p *model.Policy) bool { return p.Closed }
	if !slices.ContainsFunc(list, closed) {
		return list
	}
	return slices.DeleteFunc(slices.Clone(list), closed)
}

// back is what was put back.
type back struct {
	places []model.Origin // of the refused versions
	notes  []model.Problem
	names  map[string]bool // kind and name
}

// again validates once more if something was put back, and saves the Problems
// of what it was put back for, which the old versions do not have.
func (b *back) again(whole, valid *model.Config, problems, mistakes []model.Problem) (*model.Config, []model.Problem, []model.Problem) {
	if len(b.places) == 0 {
		return valid, problems, mistakes
	}
	for _, p := range problems {
		if slices.Contains(b.places, p.Origin) {
			mistakes = append(mistakes, p)
		}
	}
	valid, problems = model.Validate(whole)
	return valid, problems, append(mistakes, b.notes...)
}

// putBack gives all with the nouns that are not in valid replaced by those of
// the same name in old, where there are such. The lists are sorted by name;
// valid and old may have more than was written (services that workloads make).
func putBack[T any](b *back, k kind[T], all, valid, old []T) []T {
	out, copied := all, false
	v, o := 0, 0
	for i, x := range all {
		for v < len(valid) && k.name(valid[v]) < k.name(x) {
			v++
		}
		if v < len(valid) && k.name(valid[v]) == k.name(x) {
			continue
		}
		for o < len(old) && k.name(old[o]) < k.name(x) {
			o++
		}
		if o == len(old) || k.name(old[o]) != k.name(x) {
			continue
		}
		if !copied {
			out, copied = slices.Clone(all), true
		}
		out[i] = old[o]
		b.names[k.word+" "+k.name(x)] = true
		b.places = append(b.places, k.origin(x))
		b.notes = append(b.notes, model.Problem{
			Origin:   k.origin(x),
			Severity: model.Doubtful,
			Code:     "old-serves",
			Message:  "until this is right the version before goes on serving: " + k.word + " " + k.name(x) + " of " + k.origin(old[o]).String(),
		})
	}
	return out
}
