package overload

import "github.com/naru-mesh/naru/model"

// Class is how much a request matters.
type Class uint8

const (
	Low Class = iota
	Normal
	Critical

	Classes
)

// String is the class's name in metrics, which is that of a route's priority.
func (c Class) String() string { return [Classes]string{"low", "normal", "critical"}[c] }

// ClassOf gives a route's class.
func ClassOf(p model.Priority) Class {
	switch p {
	case model.PriorityLow:
		return Low
	case model.PriorityCritical:
		return Critical
	}
	return Normal
}
