package gatewayapi

import (
	"strings"

	gateway "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/naru-mesh/naru/model"
)

// side is a port as one of TCP or UDP.
type side struct {
	port      uint16
	datagrams bool
}

// side of a listener.
func (l *listener) side() side { return side{l.port, l.datagrams()} }

// room is what the listeners of one Gateway and its ListenerSets, so far, have
// on one side of a port.
type room struct {
	protocol gateway.ProtocolType
	mixed    bool // some had another protocol, so that none is served
	claims   claims
}

// conflicts finds the listeners of a Gateway and of its ListenerSets that
// cannot be told apart. Of those of one object none is served; between
// objects, the Gateway goes before its ListenerSets and the older of these
// before the newer.
func (l *linker) conflicts(g *gatewayState) {
	rooms := make(map[side]*room)
	owners := []*owner{&g.owner}
	for _, set := range g.sets {
		owners = append(owners, &set.owner)
	}
	for _, o := range owners {
		var left []*listenerState // of those that can join the older
		for _, s := range o.listeners {
			if s.refused.reason != "" {
				continue
			}
			if r := rooms[s.listener.side()]; r != nil {
				s.conflict = r.conflict(s)
			}
			if s.conflict.reason == "" {
				left = append(left, s)
			}
		}
		for _, s := range left {
			s.conflict = conflictAmong(s, left)
		}
		for _, s := range left {
			enter(rooms, s)
		}
		for _, s := range o.listeners {
			if s.conflict.reason != "" {
				l.noteConflict(s)
			}
		}
	}
	for _, o := range owners {
		for _, s := range o.listeners {
			if r := rooms[s.listener.side()]; r != nil && s.refused.reason == "" && s.listener.protocol == gateway.HTTPSProtocolType {
				_, s.overlaps = r.claims.besides(s.listener.hostname)
			}
		}
	}
}

// conflictAmong says why a listener cannot be told apart from another; zero
// when it can.
func conflictAmong(s *listenerState, among []*listenerState) refusal {
	var out refusal
	for _, other := range among {
		if other == s || other.listener.side() != s.listener.side() {
			continue
		}
		switch {
		case other.listener.protocol != s.listener.protocol:
			out = refusal{string(gateway.ListenerReasonProtocolConflict),
				"listener " + other.listener.name + " has another protocol on the same port"}
		case out.reason == "" && other.listener.hostname == s.listener.hostname:
			out = s.listener.double("listener " + other.listener.name)
		}
	}
	return out
}

// olderListener is one of the Gateway or of an older ListenerSet.
const olderListener = "an older listener of the Gateway"

// conflict says why a listener cannot join those that came before; zero when
// it can. Whose they are is not told: they may be in another namespace.
func (r *room) conflict(s *listenerState) refusal {
	switch {
	case r.mixed || r.protocol != s.listener.protocol:
		return refusal{string(gateway.ListenerReasonProtocolConflict), olderListener + " has another protocol on the same port"}
	case r.claims.has(s.listener.hostname):
		return s.listener.double(olderListener)
	default:
		return refusal{}
	}
}

// double is the refusal of a listener like another of its protocol.
func (l *listener) double(other string) refusal {
	if l.protocol == gateway.TCPProtocolType || l.protocol == gateway.UDPProtocolType {
		return refusal{string(gateway.ListenerReasonProtocolConflict),
			other + " has the same port, where only one with protocol " + string(l.protocol) + " can be"}
	}
	return refusal{string(gateway.ListenerReasonHostnameConflict), other + " has the same port and hostname"}
}

// enter puts a listener among those that others can conflict with.
func enter(rooms map[side]*room, s *listenerState) {
	at := s.listener.side()
	r := rooms[at]
	if r == nil {
		r = &room{protocol: s.listener.protocol}
		rooms[at] = r
	}
	r.mixed = r.mixed || r.protocol != s.listener.protocol
	r.claims.add(s.listener.hostname, nil, 1)
}

// noteConflict tells of a conflict.
func (l *linker) noteConflict(s *listenerState) {
	field, hint := ".port", "neither is served"
	if strings.HasPrefix(s.conflict.message, olderListener) {
		hint = "the older is served"
	}
	if s.conflict.reason == string(gateway.ListenerReasonHostnameConflict) && s.listener.hostname != "" {
		field = ".hostname"
	}
	l.note(l.problem(s.owner.object, s.listener.field+field, model.Problem{
		Code: "conflict", Message: s.conflict.message, Hint: hint,
		Condition: string(gateway.ListenerConditionConflicted), Reason: s.conflict.reason,
	}))
}

// door is what can be bound once.
type door struct {
	address string
	side
}

// doorState says what is behind a door.
type doorState struct {
	protocol gateway.ProtocolType
	hosts    map[string]*gatewayState
}

// free says whether a listener can share its doors with the listeners of older
// Gateways, and if so takes its place there.
func (l *linker) free(doors map[door]*doorState, s *listenerState) bool {
	g := s.owner.gateway
	for _, address := range g.gateway.addresses {
		d := doors[door{address, s.listener.side()}]
		if d == nil {
			continue
		}
		other, taken := d.hosts[s.listener.hostname]
		if d.protocol == s.listener.protocol && !taken {
			continue
		}
		message := "the port is already in use with another protocol"
		if taken {
			message = "the port is already in use for the same host by Gateway " + other.gateway.String()
		}
		s.refused = refusal{string(gateway.ListenerReasonPortUnavailable), message}
		l.note(l.problem(s.owner.object, s.listener.field+".port", model.Problem{
			Code: "conflict", Message: message, Hint: "listeners that share a port have one protocol and differ in hostname",
			Condition: string(gateway.ListenerConditionAccepted), Reason: s.refused.reason,
		}))
		return false
	}
	for _, address := range g.gateway.addresses {
		at := door{address, s.listener.side()}
		if doors[at] == nil {
			doors[at] = &doorState{protocol: s.listener.protocol, hosts: make(map[string]*gatewayState)}
		}
		doors[at].hosts[s.listener.hostname] = g
	}
	return true
}
