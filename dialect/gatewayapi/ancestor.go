package gatewayapi

import (
	gateway "sigs.k8s.io/gateway-api/apis/v1"
)

// PolicyStatus is the status of a BackendTLSPolicy whose Services routes of
// naru's Gateways lead to.
type PolicyStatus struct {
	Namespace string           `json:"namespace"`
	Name      string           `json:"name"`
	Ancestors []AncestorStatus `json:"ancestors"`
}

// AncestorStatus is the status of a policy with respect to one Gateway.
type AncestorStatus struct {
	Namespace  string      `json:"namespace"`
	Name       string      `json:"name"`
	Conditions []Condition `json:"conditions"`
}

// mostAncestors is the bound of the CRD.
const mostAncestors = 16

// target is a Service, or one port of it.
type target struct {
	service key
	port    string
}

// policyStatus tells the conditions of the BackendTLSPolicies, with respect to
// the Gateways in the order of their age.
func (m *memory) policyStatus() []PolicyStatus {
	var out []PolicyStatus
	var leads map[target]map[*gatewayState]bool
	for _, state := range m.policies {
		if state.policy.kind != tlsPolicyKind {
			continue
		}
		if leads == nil {
			leads = m.leads()
		}
		s := PolicyStatus{Namespace: state.policy.namespace, Name: state.policy.name}
		for _, g := range m.gateways {
			if len(s.Ancestors) < mostAncestors && state.concerns(leads, g) {
				s.Ancestors = append(s.Ancestors, AncestorStatus{
					Namespace: g.gateway.namespace, Name: g.gateway.name, Conditions: state.conditions(),
				})
			}
		}
		if len(s.Ancestors) > 0 {
			out = append(out, s)
		}
	}
	return out
}

// concerns says whether routes of a Gateway lead to a target of the policy.
func (state *policyState) concerns(leads map[target]map[*gatewayState]bool, g *gatewayState) bool {
	for _, t := range state.policy.targets {
		if leads[target{t.service, t.port}][g] {
			return true
		}
	}
	return false
}

// conditions are those of a BackendTLSPolicy, the same for all ancestors.
func (state *policyState) conditions() []Condition {
	cs := conditions{generation: state.policy.generation}
	cs.judge(string(gateway.PolicyConditionAccepted), string(gateway.PolicyReasonAccepted), state.refused)
	cs.judge(string(gateway.BackendTLSPolicyConditionResolvedRefs), string(gateway.BackendTLSPolicyReasonResolvedRefs), state.unresolved)
	return cs.list
}

// leads says from which Gateways routes lead to Services and their ports.
func (m *memory) leads() map[target]map[*gatewayState]bool {
	out := make(map[target]map[*gatewayState]bool)
	lead := func(t target, g *gatewayState) {
		if out[t] == nil {
			out[t] = make(map[*gatewayState]bool)
		}
		out[t][g] = true
	}
	for _, linked := range m.attached {
		var from []*gatewayState
		for i := range linked.states {
			if s := &linked.states[i]; s.ours && s.refusal.reason == "" {
				from = append(from, m.world.owner(&linked.route.parents[s.index]).gateway)
			}
		}
		i := 0
		linked.route.references(func(ref *reference, _ bool) {
			if i >= len(linked.verdicts) {
				return
			}
			why := linked.verdicts[i].why
			i++
			if why != resolved && why != noTrust && why != badProtocol {
				return
			}
			port := m.world.services[ref.service].port(ref.port, linked.route.datagrams())
			for _, g := range from {
				lead(target{ref.service, ""}, g)
				lead(target{ref.service, port.written.name}, g)
			}
		})
	}
	return out
}
