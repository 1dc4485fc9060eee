package short

import (
	"go.yaml.in/yaml/v3"

	"github.com/naru-mesh/naru/dialect"
	"github.com/naru-mesh/naru/model"
)

// ReadNode takes "auto", "local", or an object with one of the two.
func (s *issuance) ReadNode(in *dialect.Decoder, n *yaml.Node) {
	before := in.Broken()
	switch {
	case n.Kind == yaml.ScalarNode && n.Value == "auto":
		s.Auto = &auto{}
	case n.Kind == yaml.ScalarNode && n.Value == "local":
		s.Local = &localCA{}
	default:
		type plain issuance
		in.Into(n, (*plain)(s))
		if in.Broken() == before && s.Auto != nil && s.Local != nil {
			in.Problem(n, "bad-value", "certificates come from auto or local, not from both", "leave one out")
		}
	}
	s.broken = in.Broken() > before
}

// ReadNode takes true and an object.
func (a *auto) ReadNode(in *dialect.Decoder, n *yaml.Node) {
	if n.Tag == "!!bool" && n.Value == "true" {
		return
	}
	type plain auto
	in.Into(n, (*plain)(a))
}

// ReadNode takes true and an object.
func (l *localCA) ReadNode(in *dialect.Decoder, n *yaml.Node) {
	if n.Tag == "!!bool" && n.Value == "true" {
		return
	}
	type plain localCA
	in.Into(n, (*plain)(l))
}

// isIssuance says whether n is about certificates that come by themselves.
func isIssuance(n *yaml.Node) bool {
	if n.Kind != yaml.MappingNode {
		return n.Kind == yaml.ScalarNode && (n.Value == "auto" || n.Value == "local")
	}
	for i := 0; i < len(n.Content); i += 2 {
		if key := n.Content[i].Value; key == "auto" || key == "local" {
			return true
		}
	}
	return false
}

// noun makes the wish. Paths are seen from the folder of the document.
func (s *issuance) noun(folder string) *model.Issuance {
	if l := s.Local; l != nil {
		return &model.Issuance{By: model.Local, Names: l.Names, Storage: beside(folder, string(l.Storage))}
	}
	a := s.Auto
	return &model.Issuance{
		By: model.ACME, Names: a.Names, Email: string(a.Email), Directory: string(a.Directory),
		DirectoryCAFile: beside(folder, string(a.DirectoryCAFile)), Storage: beside(folder, string(a.Storage)),
		OnDemand: a.OnDemand, Ask: string(a.Ask),
	}
}

// hostnames are one host or a list.
type hostnames []string

// ReadNode takes what can be host names.
func (h *hostnames) ReadNode(in *dialect.Decoder, n *yaml.Node) {
	var list []hostname
	if n.Kind == yaml.SequenceNode {
		in.Into(n, &list)
	} else {
		list = make([]hostname, 1)
		in.Into(n, &list[0])
	}
	for _, host := range list {
		if host != "" {
			*h = append(*h, string(host))
		}
	}
}
