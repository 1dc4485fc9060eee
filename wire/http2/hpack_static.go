package http2

// pair is a field of the static table. It is lent to sinks, which must not
// write to it.
type pair struct{ name, value []byte }

// staticPairs is RFC 7541 appendix A; index 0 does not exist.
var staticPairs = makeStatic()

// staticCount is the largest index of the static table.
const staticCount = 61

// staticNames are the names of RFC 7541 appendix A in its order, each with the
// values that it has there.
var staticNames = [...]struct {
	name   string
	values []string
}{
	{":authority", nil}, {":method", []string{"GET", "POST"}}, {":path", []string{"/", "/index.html"}},
	{":scheme", []string{"http", "https"}},
	{":status", []string{"200", "204", "206", "304", "400", "404", "500"}}, {"accept-charset", nil},
	{"accept-encoding", []string{"gzip, deflate"}}, {"accept-language", nil}, {"accept-ranges", nil},
	{"accept", nil}, {"access-control-allow-origin", nil}, {"age", nil}, {"allow", nil},
	{"authorization", nil}, {"cache-control", nil}, {"content-disposition", nil}, {"content-encoding", nil},
	{"content-language", nil}, {"content-length", nil}, {"content-location", nil}, {"content-range", nil},
	{"content-type", nil}, {"cookie", nil}, {"date", nil}, {"etag", nil}, {"expect", nil}, {"expires", nil},
	{"from", nil}, {"host", nil}, {"if-match", nil}, {"if-modified-since", nil}, {"if-none-match", nil},
	{"if-range", nil}, {"if-unmodified-since", nil}, {"last-modified", nil}, {"link", nil},
	{"location", nil}, {"max-forwards", nil}, {"proxy-authenticate", nil}, {"proxy-authorization", nil},
	{"range", nil}, {"referer", nil}, {"refresh", nil}, {"retry-after", nil}, {"server", nil},
	{"set-cookie", nil}, {"strict-transport-security", nil}, {"transfer-encoding", nil}, {"user-agent", nil},
	{"vary", nil}, {"via", nil}, {"www-authenticate", nil},
}

func makeStatic() (pairs [staticCount + 1]pair) {
	i := 1
	for _, n := range staticNames {
		name := []byte(n.name)
		if n.values == nil {
			pairs[i] = pair{name, []byte{}}
			i++
		}
		for _, v := range n.values {
			pairs[i] = pair{name, []byte(v)}
			i++
		}
	}
	return pairs
}

// habit says how the values of a name behave, which decides how they are sent.
type habit uint8

const (
	// Values of most names are told apart by watching: those that come again
	// are indexed, those that do not are not.
	_ habit = iota
	// fleeting values are new each time, or nearly, or so short that looking
	// them up costs more than sending them. Only their name is indexed.
	fleeting
	// secret values are worth guessing: never indexed (RFC 7541 section 7.1.3).
	secret
	// crumbs are the values of cookie: secret where they are short enough to be
	// guessed, else as most.
	crumbs
)

// habits are those of names unlike most. The list is what nghttp2 refuses to
// index, and what proxies and tracers add to every request.
var habits = [...]struct {
	name  string
	habit habit
}{
	{"authorization", secret},
	{"proxy-authorization", secret},
	{"cookie", crumbs},

	{"age", fleeting},
	{"content-length", fleeting},
	{"content-range", fleeting},
	{"date", fleeting},
	{"etag", fleeting},
	{"expires", fleeting},
	{"if-match", fleeting},
	{"if-modified-since", fleeting},
	{"if-none-match", fleeting},
	{"if-range", fleeting},
	{"if-unmodified-since", fleeting},
	{"last-modified", fleeting},
	{"location", fleeting},
	{"range", fleeting},
	{"set-cookie", fleeting},

	{"b3", fleeting},
	{"cf-ray", fleeting},
	{"forwarded", fleeting},
	{"grpc-status-details-bin", fleeting},
	{"grpc-timeout", fleeting},
	{"grpc-trace-bin", fleeting},
	{"server-timing", fleeting},
	{"traceparent", fleeting},
	{"tracestate", fleeting},
	{"x-amzn-trace-id", fleeting},
	{"x-b3-parentspanid", fleeting},
	{"x-b3-spanid", fleeting},
	{"x-b3-traceid", fleeting},
	{"x-cloud-trace-context", fleeting},
	{"x-correlation-id", fleeting},
	{"x-envoy-upstream-service-time", fleeting},
	{"x-forwarded-for", fleeting},
	{"x-ratelimit-remaining", fleeting},
	{"x-request-id", fleeting},
	{"x-request-start", fleeting},
	{"x-response-time", fleeting},
	{"x-runtime", fleeting},
}

// known is what the encoder knows of a name.
type known struct {
	name  []byte
	index uint8 // the first in the static table, 0 is none
	habit habit
}

// knownTable finds what is known of names, and the fields of the static table
// that have values. Slots are sparse hash tables of indices, of which 0 is
// none.
type knownTable struct {
	names     []known // index 0 stands for every name that is not known
	nameSlots [512]uint8
	pairSlots [128]uint8 // indices of the static table
}

// knownNames has the names of staticNames and habits and never changes.
var knownNames = makeKnown()

func makeKnown() *knownTable {
	t := &knownTable{names: make([]known, 1, 1+len(staticNames)+len(habits))}
	entry := func(name string) *known {
		h := hashName(name)
		for ; t.nameSlots[h%uint32(len(t.nameSlots))] != 0; h++ {
			if k := &t.names[t.nameSlots[h%uint32(len(t.nameSlots))]]; string(k.name) == name {
				return k
			}
		}
		t.nameSlots[h%uint32(len(t.nameSlots))] = uint8(len(t.names))
		t.names = append(t.names, known{name: []byte(name)})
		return &t.names[len(t.names)-1]
	}
	for i, p := range staticPairs[1:] {
		index := uint8(i + 1)
		if k := entry(string(p.name)); k.index == 0 {
			k.index = index
		}
		if len(p.value) > 0 {
			h := hashPair(hashName(p.name), p.value)
			for ; t.pairSlots[h%uint32(len(t.pairSlots))] != 0; h++ {
			}
			t.pairSlots[h%uint32(len(t.pairSlots))] = index
		}
	}
	for _, n := range habits {
		entry(n.name).habit = n.habit
	}
	return t
}

// lookupKnown finds what is known of a name, whose hash is h.
func lookupKnown[T text](h uint32, name T) *known {
	t := knownNames
	for ; ; h++ {
		i := t.nameSlots[h%uint32(len(t.nameSlots))]
		if k := &t.names[i]; i == 0 || equalLower(k.name, name) {
			return k
		}
	}
}

// lookupStatic finds the index of a field with a value, whose hash is h, in
// the static table; 0 is none.
func lookupStatic[T text](h uint32, name, value T) uint8 {
	t := knownNames
	for ; ; h++ {
		i := t.pairSlots[h%uint32(len(t.pairSlots))]
		if p := &staticPairs[i]; i == 0 || equal(p.value, value) && equalLower(p.name, name) {
			return i
		}
	}
}
