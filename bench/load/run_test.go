package load

import (
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/naru-mesh/naru/wire"
	"github.com/naru-mesh/naru/wire/loop"
)

func start(t *testing.T) (*loop.Driver, Plan) {
	t.Helper()
	d, err := loop.New(loop.Options{Loops: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	l, err := newOrigin().listen(d, netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	return d, Plan{
		Addr: l.Addr(), Host: "a.example.com", Paths: []string{"/x/small", "/y/small"}, Want: 100, Conns: 4,
		Warm: time.Millisecond, Window: 30 * time.Millisecond, Pids: []int{os.Getpid()},
	}
}

// TestKinds sends every kind of load to the origin itself.
func TestKinds(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(p *Plan){
		"closed":  func(*Plan) {},
		"open":    func(p *Plan) { p.Rate, p.Window = 2000, 200*time.Millisecond },
		"fresh":   func(p *Plan) { p.Fresh = true },
		"post":    func(p *Plan) { p.Method, p.Body = "POST", 64<<10 },
		"large":   func(p *Plan) { p.Paths, p.Want = []string{"/1m"}, 1<<20 },
		"chunked": func(p *Plan) { p.Paths, p.Want = []string{"/chunked"}, 4<<10 },
		"hold":    func(p *Plan) { p.Hold, p.Conns = true, 200 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, plan := start(t)
			change(&plan)
			// However slow the machine: the window ends when something was counted.
			r := newRun(plan)
			for i := 0; i < 100; i++ {
				res := r.carryOut(d)
				if res.Failed > 0 {
					t.Fatal(res.Failures)
				}
				if res.Requests > 0 {
					if plan.Hold && res.Requests != 200 {
						t.Fatalf("%d connections had an answer", res.Requests)
					}
					return
				}
				r = newRun(plan)
			}
			t.Fatal("nothing was answered")
		})
	}
}

func TestFailuresAreCounted(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(p *Plan){
		"status": func(p *Plan) { p.Paths = []string{"/nothing"} },
		"length": func(p *Plan) { p.Want = 7 },
		"nobody": func(p *Plan) { p.Addr = netip.AddrPortFrom(p.Addr.Addr(), 1) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, plan := start(t)
			change(&plan)
			res := newRun(plan).carryOut(d)
			if res.Failed == 0 || len(res.Failures) == 0 {
				t.Fatalf("%+v", res)
			}
		})
	}
}

// closer answers once, then closes.
type closer struct {
	served
}

func (c *closer) OnData(b []byte) {
	c.served.OnData(b)
	c.conn.Close()
}

// TestReopens: a server may close between requests, which is no failure; the
// request that crosses the close is one.
func TestReopens(t *testing.T) {
	t.Parallel()
	d, plan := start(t)
	o := newOrigin()
	l, err := d.Listen(netip.MustParseAddrPort("127.0.0.1:0"), wire.ListenOptions{}, func(c wire.Conn, _ bool) {
		c.SetHandler(&closer{served: served{origin: o, conn: c}})
	})
	if err != nil {
		t.Fatal(err)
	}
	plan.Addr = l.Addr()
	res := newRun(plan).carryOut(d)
	if res.Failed == 0 && res.Reopened == 0 {
		t.Fatalf("%+v", res)
	}
}
