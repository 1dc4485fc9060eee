package model

// ServiceLimits bounds what runs on a Service at once, through one proxy.
type ServiceLimits struct {
	// Requests is how many may run at once, tries counted; 0 is no bound. Those
	// of low priority get in up to three quarters of it, critical ones may pass it
	// by a fifth. With Adaptive it is the most that the limit may become.
	Requests int `json:"requests,omitempty"`
	// Adaptive finds the limit out from how long the service takes to answer.
	Adaptive bool `json:"adaptive,omitempty"`
	// Least and Most bound an adaptive limit; 0 is 8 and 4096.
	Least int `json:"least,omitempty"`
	Most  int `json:"most,omitempty"`
}

// Priority is how much a Route's requests matter when not all can be served.
type Priority string

const (
	PriorityNormal   Priority = "" // the default
	PriorityLow      Priority = "low"
	PriorityCritical Priority = "critical"
)
