package proxy

import (
	"github.com/naru-mesh/naru/overload"
	"github.com/naru-mesh/naru/wire"
)

// class is how much the request matters. Health checks count as critical: whoever
// asks would take a proxy that does not answer for dead, and send its load to the
// next.
func (x *exchange) class() overload.Class {
	class := overload.ClassOf(x.rule.noun.Priority)
	if class == overload.Normal && asksHealth(x.path) {
		class = overload.Critical
	}
	return class
}

// Rank implements wire.Ranker. A response that has begun goes before those that have
// not: each of its pieces would wait as long as a whole response does.
func (x *exchange) Rank() wire.Rank {
	switch {
	case x.rule == nil || x.class() == overload.Critical:
		return wire.RankFirst
	case x.answered:
		return wire.RankBegun
	}
	return wire.RankLast
}

// Rank implements wire.Ranker.
func (h *hedge) Rank() wire.Rank {
	if h.x == nil {
		return wire.RankLast
	}
	return h.x.Rank()
}

// Rank implements wire.Ranker: nobody waits for it.
func (m *mirror) Rank() wire.Rank { return wire.RankLast }

// class is how much a flow's connections matter; nil is a stranger's.
func (f *flow) class() overload.Class {
	if f == nil {
		return overload.Normal
	}
	return overload.ClassOf(f.noun.Priority)
}

// Rank implements wire.Ranker: flows have no end to which to come first.
func (h *half) Rank() wire.Rank {
	if h.of.flow.class() == overload.Critical {
		return wire.RankFirst
	}
	return wire.RankLast
}
