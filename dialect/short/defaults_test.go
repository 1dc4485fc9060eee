package short

import (
	"slices"
	"testing"

	"github.com/naru-mesh/naru/dialect"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/source"
)

// The defaults of several documents are a policy each, of which the first goes
// before the others; what services say of requests is one for each of them.
func TestDefaultsOfDocuments(t *testing.T) {
	t.Parallel()
	d := New()
	var items []any
	for i, text := range []string{
		"defaults: {retry: 2}\nservices: {a: {endpoints: [\"10.0.0.1:1\"], timeout: 1s}}\n",
		"defaults: {timeout: 3s, connect: 1s}\nservices: {b: [\"10.0.0.1:2\"]}\n",
		"defaults: {}\n",
		"defaults: {timeout: fast}\n",
	} {
		doc, _ := dialect.Read(source.Document{Path: "x.yaml", Line: 1 + 10*i, Data: []byte(text)})
		item, problems := d.Parse(doc)
		if (len(problems) > 0) != (i == 3) {
			t.Errorf("%s: %v", text, problems)
		}
		items = append(items, item)
	}
	type policy struct {
		name            string
		target          model.PolicyTarget
		route, service  bool
		fields, atLines int
	}
	var got []policy
	for _, p := range d.Translate(items).Traffic {
		one := policy{p.Name, p.Targets[0], p.Route != nil, p.Service != nil, len(p.Fields), p.At("retry").Line}
		got = append(got, one)
	}
	all := model.PolicyTarget{Kind: model.TargetMesh}
	want := []policy{
		{"defaults", all, true, false, 1, 1},
		{"service a", model.PolicyTarget{Kind: model.TargetService, Namespace: "default", Name: "a"}, true, false, 2, 2},
		{"defaults of x.yaml#1", all, true, true, 2, 11},
	}
	if !slices.Equal(got, want) {
		t.Errorf("\n got %+v\nwant %+v", got, want)
	}
}
