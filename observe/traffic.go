package observe

import "strconv"

// known are the response statuses that are counted each by itself; every other
// one counts under its class ("2xx"), so that a backend cannot grow the label
// set. Their number makes a Traffic 576 bytes: whole cache lines, so two loops
// never write to the same one.
var known = [...]uint16{
	101,
	200, 201, 202, 204, 206,
	301, 302, 303, 304, 307, 308,
	400, 401, 402, 403, 404, 405, 406, 408, 409, 410, 411, 412, 413, 414, 415,
	416, 417, 421, 422, 426, 428, 429, 431, 451, 499,
	500, 501, 502, 503, 504, 505,
}

// classes follow known in the table: what is no HTTP status (0: the client got
// nothing), then 1xx to 5xx.
const (
	classes  = 6
	statuses = len(known) + classes
)

// slotOf gives the slot of each status below 600.
var slotOf = func() (t [600]uint8) {
	for status := range t {
		t[status] = uint8(len(known) + status/100)
	}
	for slot, status := range known {
		t[status] = uint8(slot)
	}
	return t
}()

// codes are the label values of the slots.
var codes = func() (t [statuses]string) {
	for slot, status := range known {
		t[slot] = strconv.Itoa(int(status))
	}
	t[len(known)] = "none"
	for class := 1; class < classes; class++ {
		t[len(known)+class] = strconv.Itoa(class) + "xx"
	}
	return t
}()

// Traffic is what one loop counted for one route, service or listener. Only
// that loop may write to it; any goroutine may read. It is used where it was
// made and never copied.
type Traffic struct {
	begun    Counter
	statuses [statuses]Counter
	duration Histogram
	in, out  Counter
}

// Begin counts an exchange as active; each Begin is followed by one Done.
func (t *Traffic) Begin() { t.begun.Add(1) }

// Done counts a finished exchange: its status, duration and bytes.
func (t *Traffic) Done(r *Record) {
	slot := uint8(len(known))
	if uint(r.Status) < uint(len(slotOf)) {
		slot = slotOf[r.Status]
	}
	t.statuses[slot].Add(1)
	t.duration.Observe(r.Duration)
	if r.BytesIn != 0 { // most requests have no body, and adding has its price
		t.in.Add(uint64(r.BytesIn))
	}
	if r.BytesOut != 0 {
		t.out.Add(uint64(r.BytesOut))
	}
}

// Moved counts bytes of what is not finished yet: a connection may last for
// days. Its Done comes with none.
func (t *Traffic) Moved(in, out int) {
	t.in.Add(uint64(in))
	t.out.Add(uint64(out))
}

// Totals are the sum of several Traffics.
type Totals struct {
	Duration          Distribution
	BytesIn, BytesOut uint64
	// Active is the number of exchanges begun and not yet done.
	Active uint64
	codes  [statuses]uint64
	begun  uint64
}

// Read adds what t holds to s.
func (t *Traffic) Read(s *Totals) {
	for i := range t.statuses {
		s.codes[i] += t.statuses[i].Load()
	}
	t.duration.Read(&s.Duration)
	s.BytesIn += t.in.Load()
	s.BytesOut += t.out.Load()
	// Read after the statuses: every one of those had begun, so the
	// difference is never below zero while a loop goes on counting.
	s.begun += t.begun.Load()
	s.Active = 0
	if done := s.Requests(); s.begun > done {
		s.Active = s.begun - done
	}
}

// Requests is the number of finished exchanges.
func (s *Totals) Requests() uint64 {
	var n uint64
	for _, c := range s.codes {
		n += c
	}
	return n
}

// Codes calls emit for each status seen: "200", "2xx" for one that has no
// count of its own, "none" where the client got nothing.
func (s *Totals) Codes(emit func(code string, count uint64)) {
	for i, c := range s.codes {
		if c > 0 {
			emit(codes[i], c)
		}
	}
}
