package traffic

import (
	"slices"
	"testing"
	"time"

	"github.com/naru-mesh/naru/model"
)

// What is in vain is told of each configuration, also where it is that of the last
// one, and no more when it has been put right.
func TestMeetingsAreToldAgain(t *testing.T) {
	t.Parallel()
	slow := &model.Service{Name: "slow", Connect: 2 * time.Second, Origin: model.Origin{Line: 1}}
	short := &model.Route{Name: "short", Parents: []string{"l"}, Backends: []model.Backend{{Service: "slow", Weight: 1}}, Timeouts: model.Timeouts{Request: time.Second}}
	longer := *short
	longer.Timeouts.Request = 3 * time.Second
	c := &model.Config{Services: []*model.Service{slow}, Routes: []*model.Route{short}}
	with := func(change func(*model.Config)) *model.Config {
		x := *c
		change(&x)
		return &x
	}
	var l Lowering
	for i, x := range []struct {
		config *model.Config
		told   bool
	}{
		{c, true},
		{with(func(c *model.Config) { c.Services, c.Routes = slices.Clone(c.Services), slices.Clone(c.Routes) }), true},
		{with(func(c *model.Config) { c.Routes = []*model.Route{&longer} }), false},
		{c, true},
		{with(func(c *model.Config) { c.Flows = []*model.Flow{{Name: "f", Backends: short.Backends}} }), false},
		{with(func(c *model.Config) {
			c.Traffic = []*model.TrafficPolicy{{Name: "p", Targets: []model.PolicyTarget{{Kind: model.TargetMesh}}, Route: &model.Route{Timeouts: model.Timeouts{Backend: time.Minute}}}}
		}), true},
	} {
		l.Lower(x.config)
		problems := l.Problems(x.config)
		if told := slices.ContainsFunc(problems, func(p model.Problem) bool { return p.Code == "long-connect" }); told != x.told {
			t.Errorf("configuration %d: %v", i, problems)
		}
	}
}
