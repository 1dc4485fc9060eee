package observe

// Kind of a metric.
type Kind uint8

const (
	KindCounter   Kind = iota // only grows
	KindGauge                 // goes up and down
	KindHistogram             // durations in Bounds
)

// Family is one metric with all its samples, as exporters see it.
type Family struct {
	// Name and Help follow the Prometheus conventions: a unit at the end of
	// the name, "_total" for counters.
	Name, Help string
	Kind       Kind
	// Labels are the names of the labels; each Sample has as many values.
	Labels []string
	each   func(emit func(*Sample))
}

// Sample is one member of a Family. It is lent for the call.
type Sample struct {
	Values []string
	// Value of a counter or gauge.
	Value float64
	// Distribution of a histogram, else nil.
	Distribution *Distribution
}

// Each reads the samples now, one by one, so that a scrape of many routes
// needs the memory of one.
func (f *Family) Each(emit func(*Sample)) { f.each(emit) }
