package fault

import (
	"testing"
	"time"

	"github.com/naru-mesh/naru/filter"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

func made(t testing.TB, m model.Fault) (filter.Request, *Counts) {
	t.Helper()
	counts := &Counts{}
	f, err := Family(counts).Build(&model.Filter{Fault: &m})
	if err != nil {
		t.Fatal(err)
	}
	return f.(filter.Request), counts
}

func request(fields ...string) *filter.Exchange {
	x := &filter.Exchange{}
	for _, name := range fields {
		k, _ := filter.EditableField(name)
		x.Request.AddString(k, "1")
	}
	return x
}

func TestShares(t *testing.T) {
	t.Parallel()
	f, counts := made(t, model.Fault{Delay: time.Second, DelayShare: 300_000, Status: 503, AbortShare: 100_000, ResponseRate: 1000, RateShare: 200_000})
	const n = 20_000
	delayed, aborted, slow := 0, 0, 0
	for range n {
		x := request()
		if f.OnRequest(x) == filter.Answer {
			aborted++
			if x.Delay != 0 || x.Slow != nil {
				t.Fatal("one that is aborted waits, too")
			}
			continue
		}
		if x.Delay == time.Second {
			delayed++
		}
		if x.Slow != nil {
			slow++
			if *x.Slow != (filter.Slow{Response: 1000}) {
				t.Fatalf("the rates are %+v", *x.Slow)
			}
		}
	}
	// Six standard deviations of a binomial distribution: 0.9 * 0.3, 0.1, 0.9 * 0.2.
	if delayed < 5400-370 || delayed > 5400+370 || aborted < 2000-255 || aborted > 2000+255 || slow < 3600-330 || slow > 3600+330 {
		t.Errorf("of %d requests %d were delayed, %d aborted and %d slow", n, delayed, aborted, slow)
	}
	if int(counts.Delays.Load()) != delayed || int(counts.Aborts.Load()) != aborted || int(counts.Slow.Load()) != slow {
		t.Errorf("counted %d, %d and %d", counts.Delays.Load(), counts.Aborts.Load(), counts.Slow.Load())
	}
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault  model.Fault
		fields []string
		rpc    wire.RPC
		answer bool
		status int
		code   string
	}{
		"a status":                       {fault: model.Fault{Status: 418}, answer: true, status: 418},
		"of a gRPC call":                 {fault: model.Fault{Status: 418}, rpc: wire.GRPC, answer: true, status: 418},
		"a gRPC status":                  {fault: model.Fault{Status: 418, GRPC: 14}, rpc: wire.GRPC, answer: true, status: 200, code: "14"},
		"of a call that is none":         {fault: model.Fault{GRPC: 14}},
		"the switch is off":              {fault: model.Fault{Header: "x-fault", Status: 503}, fields: []string{"x-other"}},
		"the switch is on":               {fault: model.Fault{Header: "X-Fault", Status: 503}, fields: []string{"x-fault"}, answer: true, status: 503},
		"delays need the switch as well": {fault: model.Fault{Header: "x-fault", Delay: time.Second}},
	} {
		f, _ := made(t, c.fault)
		x := request(c.fields...)
		x.RPC = c.rpc
		if answer := f.OnRequest(x) == filter.Answer; answer != c.answer || x.Delay != 0 {
			t.Errorf("%s: answered %v, delay %v", name, answer, x.Delay)
			continue
		}
		if !c.answer {
			continue
		}
		code, _ := x.Response.Get(wire.KeyGRPCStatus)
		why, _ := x.Response.Get(wire.KeyReason)
		if x.Response.Status != c.status || string(code) != c.code || x.Why != observe.FaultInjected || string(why) != "fault_injected" {
			t.Errorf("%s: status %d, gRPC %q, %v, reason %q", name, x.Response.Status, code, x.Why, why)
		}
	}
}

func TestNotBuilt(t *testing.T) {
	t.Parallel()
	for _, m := range []model.Fault{{Status: 199}, {Status: 600}, {GRPC: 17}, {Delay: -1}, {Delay: 2 * time.Hour}, {Status: 503, Header: "a b"}, {RequestRate: -1}, {ResponseRate: model.MostRate + 1}} {
		if _, err := Family(&Counts{}).Build(&model.Filter{Fault: &m}); err == nil {
			t.Errorf("%+v was built", m)
		}
	}
	for _, none := range []model.Filter{{}, {Fault: &model.Fault{Off: true}}} {
		if f, err := Family(&Counts{}).Build(&none); f != nil || err != nil {
			t.Errorf("no fault: %v, %v", f, err)
		}
		if c, err := filter.Compile([]filter.Family{Family(&Counts{})}, []model.Filter{none}); (err == nil) != (none.Fault != nil) || err == nil && len(c.Names()) > 0 {
			t.Errorf("a chain of no fault: %v, %v", c, err)
		}
	}
}

func TestNoAllocation(t *testing.T) {
	f, _ := made(t, model.Fault{Header: "x-fault", Delay: time.Second, DelayShare: 500_000, RequestRate: 1, RateShare: 500_000})
	x := request("x-fault")
	if n := testing.AllocsPerRun(100, func() { f.OnRequest(x) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
