package upstream

import (
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

var rewrite = flag.Bool("update", false, "write what is into the transcripts; read the difference before you believe it")

// TestTranscripts plays the scripts in testdata over a real Cluster in fake
// time: the first file is the script, the second what it comes to. In the order
// of writing, the lines are
//
//	# why
//	loops 2                           how many there are; first, if at all
//	service KEY VALUE ...             settings of the service, see serviceKeys
//	endpoints a b*3 c!                 who is there: weight 3, on standby
//	behave a 200 in 5ms               how an endpoint answers from now on, see behave
//	at 1m30s                          time since the beginning
//	wait 5s                           time passes
//	request [on 1] [KEY VALUE ...]    one request; tells who was chosen and how it went
//	load 10/s for 5s [on 1] [...]     many, evenly; tells how many went where and how
//	quiet 10/s for 5s                 the same, and tells nothing but events
//	open NAME                         a request that goes on until it is answered:
//	answer NAME 503 | abandon NAME | tear NAME
//	check a pass | fail               an active check's verdict
//	out                               who is ejected, why, and for how long yet
//	counts                            what the statistics say of ejections
//
// Events (ejected, back, stays out) are written where they happen. Time moves
// in steps of load and wait; all loops see the same.
func TestTranscripts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no transcripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if len(archive.Files) != 2 || archive.Files[0].Name != "script" || archive.Files[1].Name != "log" {
				t.Fatal("a transcript has a script and its log")
			}
			got := playScript(t, string(archive.Files[0].Data))
			if *rewrite {
				archive.Files[1].Data = []byte(got)
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if want := string(archive.Files[1].Data); got != want {
				t.Errorf("the log is\n%s\nand should be\n%s", got, want)
			}
		})
	}
}

// stage is a world in which endpoints have names and behave as they are told.
type stage struct {
	*world
	t       *testing.T
	chores  chan chore
	service *model.Service
	names   map[netip.AddrPort]string
	addrs   map[string]netip.AddrPort
	behaves map[string]behaviour
	open    map[string]*try
	running []*try // in order of their end
	turn    int    // of loops
	log     strings.Builder
	tally   map[string]int // of a load; nil: each request is told
}

// try is a request that runs.
type try struct {
	loop  int
	conn  *fakeConn
	ep    *Endpoint
	since time.Duration
	end   time.Duration
	does  behaviour
}

// behaviour is what becomes of a request.
type behaviour struct {
	outcome Outcome
	status  int
	grpc    int
	took    time.Duration
	torn    bool
	every   int // only each so-many-th request, 0 all
	n       int
}

const stageBegins = time.Hour

func playScript(t *testing.T, script string) string {
	s := &stage{
		t: t, names: map[netip.AddrPort]string{}, addrs: map[string]netip.AddrPort{}, behaves: map[string]behaviour{},
		open: map[string]*try{}, service: &model.Service{Name: "s", Balance: model.RoundRobin}, chores: make(chan chore, mostChores),
	}
	for i, line := range strings.Split(script, "\n") {
		text, _, _ := strings.Cut(line, "#")
		if strings.TrimSpace(text) == "" {
			continue
		}
		if err := s.do(strings.Fields(text)); err != nil {
			t.Fatalf("script:%d: %s: %v", i+1, strings.TrimSpace(line), err)
		}
	}
	return s.log.String()
}

// begin makes the world, with n loops; the Set's chores are done here.
func (s *stage) begin(n int) {
	s.world = newWorld(s.t, n)
	s.set.chores = s.chores
	s.set.random = func() float64 { return 0 }
}

func (s *stage) now() time.Duration { return s.loops[0].now - stageBegins }

func (s *stage) say(format string, args ...any) {
	fmt.Fprintf(&s.log, "%v "+format+"\n", append([]any{s.now()}, args...)...)
}

func (s *stage) do(word []string) (err error) {
	if word[0] == "loops" {
		n, err := strconv.Atoi(word[1])
		s.begin(n)
		return err
	}
	if s.world == nil {
		s.begin(1)
	}
	switch word[0] {
	case "service":
		return s.setting(word[1:])
	case "endpoints":
		return s.endpoints(word[1:])
	case "behave":
		b, err := behave(word[2:])
		s.behaves[word[1]] = b
		return err
	case "at":
		d, err := time.ParseDuration(word[1])
		s.pass(d - s.now())
		return err
	case "wait":
		d, err := time.ParseDuration(word[1])
		s.pass(d)
		return err
	case "request":
		loop, ask, _, err := s.asks(word[1:])
		if err != nil {
			return err
		}
		return s.request(loop, ask)
	case "load", "quiet":
		return s.load(word)
	case "open":
		loop, ask, _, err := s.asks(word[2:])
		if err != nil {
			return err
		}
		k, err := s.begins(loop, ask)
		if err == nil {
			s.open[word[1]] = k
			s.say("%s is open on %s", word[1], s.name(k.ep))
		}
		return err
	case "answer", "abandon", "tear":
		k := s.open[word[1]]
		if k == nil {
			return fmt.Errorf("no request %q is open", word[1])
		}
		if k.does = (behaviour{outcome: Abandoned}); word[0] == "answer" {
			if k.does, err = behave(word[2:]); err != nil {
				return err
			}
		}
		if word[0] == "tear" {
			k.does = behaviour{status: 200, grpc: -1, torn: true}
		} else {
			delete(s.open, word[1])
		}
		s.ends(k)
	case "check":
		return s.check(word[1], word[2] == "pass")
	case "out":
		s.whoIsOut()
	case "counts":
		s.counts()
	default:
		return errors.New("this is not understood")
	}
	return nil
}

// behave reads "200 in 5ms", "503", "grpc 14", "refused", "hang", "late in 2s",
// "broken", "torn", each with "every 3" for some requests only.
func behave(word []string) (b behaviour, err error) {
	b.grpc, b.took = -1, time.Millisecond
	for i := 0; i < len(word) && err == nil; i++ {
		switch word[i] {
		case "refused":
			b.outcome = Unreached
		case "broken":
			b.outcome = Broken
		case "late":
			b.outcome = Late
		case "hang":
			b.outcome, b.took = Abandoned, never
		case "torn":
			b.status, b.torn = 200, true
		case "abandoned":
			b.outcome = Abandoned
		case "grpc":
			i++
			b.status = 200
			b.grpc, err = strconv.Atoi(word[i])
		case "in":
			i++
			b.took, err = time.ParseDuration(word[i])
		case "every":
			i++
			b.every, err = strconv.Atoi(word[i])
		default:
			b.status, err = strconv.Atoi(word[i])
		}
	}
	return b, err
}

// endpoints are a, b*3 (weight 3), c! (standby).
func (s *stage) endpoints(words []string) error {
	svc := *s.service
	svc.Endpoints = nil
	for _, w := range words {
		w, standby := strings.CutSuffix(w, "!")
		name, weight, _ := strings.Cut(w, "*")
		at, ok := s.addrs[name]
		if !ok {
			at = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(len(s.addrs) + 1)}), 80)
			s.addrs[name], s.names[at] = at, name
			s.behaves[name] = behaviour{status: 200, grpc: -1, took: time.Millisecond}
		}
		e := &model.Endpoint{Host: at.Addr().String(), Port: 80, Standby: standby}
		if weight != "" {
			n, err := strconv.Atoi(weight)
			if err != nil {
				return err
			}
			e.Weight = n
		}
		svc.Endpoints = append(svc.Endpoints, e)
	}
	s.service = &svc
	s.apply(&svc)
	return nil
}

// serviceKeys are what "service KEY VALUE" can set, before or after "endpoints".
var serviceKeys = map[string]func(s *model.Service, value string) error{
	"balance": func(s *model.Service, v string) error { s.Balance = model.Balance(v); return nil },
	"streams": func(s *model.Service, v string) (err error) {
		s.Protocol = model.HTTP2
		s.MaxStreams, err = strconv.Atoi(v)
		return err
	},
	"ejection":     func(s *model.Service, v string) error { ejectionIn(s).Off = v == "off"; return nil },
	"failures":     func(s *model.Service, v string) (err error) { ejectionIn(s).Failures, err = strconv.Atoi(v); return },
	"connects":     func(s *model.Service, v string) (err error) { ejectionIn(s).Connects, err = strconv.Atoi(v); return },
	"success-rate": func(s *model.Service, v string) error { return hundred(&ejectionIn(s).SuccessRate, v) },
	"deviation":    func(s *model.Service, v string) error { return hundred(&ejectionIn(s).Deviation, v) },
	"slowness":     func(s *model.Service, v string) error { return hundred(&ejectionIn(s).Slowness, v) },
	"max-ejected":  func(s *model.Service, v string) error { return hundred(&ejectionIn(s).MaxEjected, v) },
	"backoff": func(s *model.Service, v string) (err error) {
		ejectionIn(s).Backoff, err = time.ParseDuration(v)
		return err
	},
}

// askKeys are what "request KEY VALUE" and "load ... KEY VALUE" can ask for.
var askKeys = map[string]func(s *stage, a *Ask, value string) error{
	"untold": func(_ *stage, a *Ask, v string) error { a.Untold = v == "yes"; return nil },
	"once":   func(_ *stage, a *Ask, v string) error { a.Once = v == "yes"; return nil },
	"tried": func(s *stage, a *Ask, v string) error {
		a.Tried = &Tried{}
		for _, m := range s.cluster("s").members {
			if slices.Contains(strings.Split(v, ","), s.name(m.ep)) {
				a.Tried.Add(m.ep)
			}
		}
		return nil
	},
}

func ejectionIn(s *model.Service) *model.Ejection {
	e := &model.Ejection{}
	if s.Ejection != nil {
		*e = *s.Ejection
	}
	s.Ejection = e
	return e
}

func hundred(to *int, v string) error {
	f, err := strconv.ParseFloat(v, 64)
	*to = int(f * 100)
	return err
}

func (s *stage) setting(words []string) error {
	svc := *s.service
	for i := 0; i+1 < len(words); i += 2 {
		set := serviceKeys[words[i]]
		if set == nil {
			return fmt.Errorf("%q is no setting", words[i])
		}
		if err := set(&svc, words[i+1]); err != nil {
			return err
		}
	}
	s.service = &svc
	if len(svc.Endpoints) > 0 {
		s.apply(&svc)
	}
	return nil
}

// asks reads "[on LOOP] [KEY VALUE ...]"; -1 is each loop in turn.
func (s *stage) asks(words []string) (loop int, a *Ask, rest []string, err error) {
	loop, a = -1, &Ask{}
	for i := 0; i+1 < len(words) && err == nil; i += 2 {
		if words[i] == "on" {
			loop, err = strconv.Atoi(words[i+1])
		} else if set := askKeys[words[i]]; set != nil {
			err = set(s, a, words[i+1])
		} else {
			rest = append(rest, words[i], words[i+1])
		}
	}
	if len(rest) > 0 {
		err = fmt.Errorf("%q is not asked for", rest)
	}
	return loop, a, rest, err
}

func (s *stage) name(ep *Endpoint) string { return s.names[ep.Addr()] }

// begins picks; the connection opens at once, or is refused.
func (s *stage) begins(loop int, a *Ask) (*try, error) {
	if loop < 0 {
		loop = s.turn % len(s.loops)
		s.turn++
	}
	l := s.loops[loop]
	conn, ep, why := s.cluster("s").Pick(l, a)
	if why != observe.ReasonNone {
		return nil, fmt.Errorf("nothing to pick: %v", why)
	}
	name := s.name(ep)
	does := s.behaves[name]
	if does.every > 0 {
		one := does
		one.n++
		s.behaves[name] = one
		if one.n%does.every != 0 {
			does = behaviour{status: 200, grpc: -1, took: does.took}
		}
	}
	k := &try{loop: loop, conn: conn.(*fakeConn), ep: ep, since: l.now, does: does}
	k.conn.Send(nil, nil, nil, true)
	if does.outcome != Unreached {
		k.conn.opened()
	}
	return k, nil
}

// ends ends a try as it behaves, and tells of it.
func (s *stage) ends(k *try) {
	c, l := s.cluster("s"), s.loops[k.loop]
	b := &k.does
	r := &Result{Outcome: b.outcome, Status: b.status, GRPC: b.grpc, Took: l.now - k.since}
	if b.outcome != Answered {
		r.Status = 0
	}
	switch b.outcome {
	case Answered:
		c.Tell(l, k.ep, r)
		if b.torn {
			c.Tell(l, k.ep, &Result{Outcome: Torn, GRPC: -1, Took: r.Took})
			k.conn.fail(errors.New("reset"))
		} else {
			k.conn.finish()
		}
	case Unreached:
		c.Tell(l, k.ep, r)
		k.conn.fail(&wire.DialError{Addr: k.ep.Addr(), Err: errRefused})
	default:
		c.Tell(l, k.ep, r)
		k.conn.fail(errors.New("ended"))
	}
	s.settle()
}

// errRefused is why the fakes refuse.
var errRefused = errors.New("connection refused")

// settle does what the loops left to others, and writes down what came of it.
func (s *stage) settle() {
	for {
		s.run()
		select {
		case k := <-s.chores:
			k.do()
		default:
			s.events()
			return
		}
	}
}

// events writes down what was logged.
func (s *stage) events() {
	for {
		select {
		case line := <-s.world.log.lines:
			what, rest, _ := strings.Cut(line, " service=")
			_, rest, _ = strings.Cut(rest, "endpoint=")
			at, args, _ := strings.Cut(rest, " ")
			ep, err := netip.ParseAddrPort(at)
			if err != nil {
				s.say("%s", line)
				continue
			}
			if i := strings.LastIndex(args, " after="); i >= 0 && strings.HasPrefix(what, "endpoint is back") {
				args = args[:i] // the clock of health checks is real
			}
			s.say("%s: %s, %s", s.names[ep], strings.TrimPrefix(what, "endpoint "), args)
		default:
			return
		}
	}
}

// request makes one and waits for its end.
func (s *stage) request(loop int, a *Ask) error {
	k, err := s.begins(loop, a)
	if err != nil {
		s.note("nobody", "none")
		return nil
	}
	if k.does.took == never {
		s.note(s.name(k.ep), "hangs")
		return nil
	}
	s.note(s.name(k.ep), k.does.String())
	s.until(k.since + k.does.took)
	s.ends(k)
	return nil
}

func (b *behaviour) String() string {
	switch {
	case b.torn:
		return "torn"
	case b.outcome != Answered:
		return b.outcome.String()
	case b.grpc >= 0:
		return "grpc " + strconv.Itoa(b.grpc)
	}
	return strconv.Itoa(b.status)
}

func (s *stage) note(name, how string) {
	if s.tally != nil {
		s.tally[name+" "+how]++
		return
	}
	s.say("%s %s", name, how)
}

// load is "load 10/s for 5s ...": requests overlap when they take long.
func (s *stage) load(word []string) error {
	rate, err1 := strconv.ParseFloat(strings.TrimSuffix(word[1], "/s"), 64)
	d, err2 := time.ParseDuration(word[3])
	loop, ask, _, err3 := s.asks(word[4:])
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	s.tally = map[string]int{}
	begin := s.loops[0].now
	for i := range int(rate * d.Seconds()) {
		s.until(begin + time.Duration(float64(i)/rate*float64(time.Second)))
		k, err := s.begins(loop, ask)
		switch {
		case err != nil:
			s.note("nobody", "none")
		case k.does.took == never:
			s.note(s.name(k.ep), "hangs")
		default:
			s.note(s.name(k.ep), k.does.String())
			k.end = k.since + k.does.took
			at, _ := slices.BinarySearchFunc(s.running, k.end, func(t *try, end time.Duration) int {
				if t.end <= end {
					return -1
				}
				return 1
			})
			s.running = slices.Insert(s.running, at, k)
		}
	}
	s.until(begin + d)
	keys := make([]string, 0, len(s.tally))
	for k, n := range s.tally {
		keys = append(keys, fmt.Sprintf("%s x%d", k, n))
	}
	sort.Strings(keys)
	s.tally = nil
	if word[0] == "load" {
		s.say("%s", strings.Join(keys, ", "))
	}
	return nil
}

// until lets time pass, and what ends by then end.
func (s *stage) until(at time.Duration) {
	for len(s.running) > 0 && s.running[0].end <= at {
		k := s.running[0]
		s.running = s.running[1:]
		s.move(k.end)
		s.ends(k)
	}
	s.move(at)
}

func (s *stage) pass(d time.Duration) { s.until(s.loops[0].now + d) }

func (s *stage) move(at time.Duration) {
	for _, l := range s.loops {
		l.pass(max(at-l.now, 0))
	}
	s.settle()
}

// check gives an active check's verdict.
func (s *stage) check(name string, pass bool) error {
	c := s.cluster("s")
	for _, m := range c.members {
		if s.name(m.ep) == name {
			if pass {
				c.passed(m.ep)
			}
			if m.ep.sick.Load() == pass {
				c.judge(s.t.Context(), m.ep, !pass, "")
				s.say("%s: is %s", name, map[bool]string{true: "healthy", false: "unhealthy"}[pass])
			}
			s.settle()
			return nil
		}
	}
	return fmt.Errorf("there is no endpoint %q", name)
}

// whoIsOut tells of the endpoints that are ejected.
func (s *stage) whoIsOut() {
	var list []string
	for _, m := range s.cluster("s").members {
		if why := m.ep.state.Out(); why.String() != "" {
			wait := max(m.ep.state.Due()-s.loops[0].now, 0).Round(time.Millisecond)
			list = append(list, fmt.Sprintf("%s for %v (%v)", s.name(m.ep), wait, why))
		}
	}
	s.say("out: %s", strings.Join(list, ", "))
}

// counts tells what the statistics say.
func (s *stage) counts() {
	st := s.stats("s")
	list := []string{fmt.Sprintf("probes %d (%d failed), held %d", st.Probes, st.ProbesFailed, st.Held)}
	for i, n := range st.Ejections {
		if n > 0 {
			list = append(list, fmt.Sprintf("%s %d", EjectionReasons()[i], n))
		}
	}
	for _, e := range st.Endpoints {
		if e.Ejection != "" {
			list = append(list, fmt.Sprintf("%s is out by %s: %s", s.names[e.Addr], e.Ejection, e.Figures))
		}
	}
	s.say("%s", strings.Join(list, "; "))
}
