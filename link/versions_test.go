package link

import (
	"context"
	"crypto/ecdsa"
	"encoding/binary"
	"errors"
	"slices"
	"strconv"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"

	"github.com/naru-mesh/naru/model"
)

// tree is a message as anybody reads it who knows the encoding and no field: it
// is written here a second time, as another version would.
type tree struct {
	wire   uint64
	number uint64
	bytes  string
	fields []branch         // of a struct
	elem   uint64           // type of the elements of a list or table
	list   []*tree          // of a list
	table  map[string]*tree // of a table
	keys   []string         // in order
}

type branch struct {
	name  string
	value *tree
}

type reading struct {
	in    string
	names []string
}

func (r *reading) uvarint() uint64 {
	n, size := binary.Uvarint([]byte(r.in[:min(len(r.in), binary.MaxVarintLen64)]))
	if size <= 0 {
		panic("a number is malformed")
	}
	r.in = r.in[size:]
	return n
}

func (r *reading) take(n uint64) string {
	s := r.in[:n]
	r.in = r.in[n:]
	return s
}

func (r *reading) value(wire uint64) *tree {
	t := &tree{wire: wire}
	switch wire {
	case typeNumber, typeInteger:
		t.number = r.uvarint()
	case typeFloat:
		t.bytes = r.take(8)
	case typeBytes:
		t.bytes = r.take(r.uvarint())
	case typeStruct:
		for key := r.uvarint(); key != 0; key = r.uvarint() {
			name := ""
			if n := key >> 3; n == 1 {
				name = r.take(r.uvarint())
				r.names = append(r.names, name)
			} else {
				name = r.names[n-2]
			}
			t.fields = append(t.fields, branch{name, r.value(key & 7)})
		}
	case typeList, typeTable:
		n := r.uvarint()
		t.elem = uint64(r.take(1)[0])
		t.table = map[string]*tree{}
		for range n {
			if wire == typeTable {
				key := r.take(r.uvarint())
				t.keys = append(t.keys, key)
				t.table[key] = r.value(t.elem)
				continue
			}
			t.list = append(t.list, r.value(t.elem))
		}
	default:
		panic("a type is not known: " + strconv.FormatUint(wire, 10))
	}
	return t
}

type writing struct {
	out   []byte
	names map[string]uint64
}

func (w *writing) uvarint(n uint64) { w.out = binary.AppendUvarint(w.out, n) }

func (w *writing) text(s string) {
	w.uvarint(uint64(len(s)))
	w.out = append(w.out, s...)
}

func (w *writing) value(t *tree) {
	switch t.wire {
	case typeNumber, typeInteger:
		w.uvarint(t.number)
	case typeFloat:
		w.out = append(w.out, t.bytes...)
	case typeBytes:
		w.text(t.bytes)
	case typeStruct:
		for _, f := range t.fields {
			if n, ok := w.names[f.name]; ok {
				w.uvarint(n<<3 | f.value.wire)
			} else {
				w.names[f.name] = uint64(len(w.names)) + 2
				w.uvarint(1<<3 | f.value.wire)
				w.text(f.name)
			}
			w.value(f.value)
		}
		w.out = append(w.out, 0)
	case typeList, typeTable:
		w.uvarint(uint64(len(t.list) + len(t.keys)))
		w.out = append(w.out, byte(t.elem))
		for _, x := range t.list {
			w.value(x)
		}
		for _, k := range t.keys {
			w.text(k)
			w.value(t.table[k])
		}
	}
}

// rewrite has another version write a message that this one wrote.
func rewrite(text string, change func(*tree)) string {
	r := &reading{in: text}
	t := r.value(typeStruct)
	if r.in != "" {
		panic("bytes are left")
	}
	t.walk(change)
	w := &writing{names: map[string]uint64{}}
	w.value(t)
	return string(w.out)
}

// walk changes every struct, the inner ones first.
func (t *tree) walk(change func(*tree)) {
	for _, f := range t.fields {
		f.value.walk(change)
	}
	for _, x := range t.list {
		x.walk(change)
	}
	for _, x := range t.table {
		x.walk(change)
	}
	if t.wire == typeStruct {
		change(t)
	}
}

// newer adds to a struct a field of each type, before and behind those that are
// known, names of which occur inside what is not known too.
func newer(t *tree) {
	text := &tree{wire: typeBytes, bytes: "of tomorrow"}
	inner := &tree{wire: typeStruct, fields: []branch{{"FirstSeenInside", text}, {"Nonce", &tree{wire: typeBytes, bytes: "another type"}}}}
	added := []branch{
		{"ZNumber", &tree{wire: typeNumber, number: 1 << 40}}, {"ZInteger", &tree{wire: typeInteger, number: 7}},
		{"ZFloat", &tree{wire: typeFloat, bytes: "12345678"}}, {"ZText", text}, {"ZStruct", inner},
		{"ZList", &tree{wire: typeList, elem: typeStruct, list: []*tree{inner, inner}}},
		{"ZTable", &tree{wire: typeTable, elem: typeBytes, keys: []string{"a", "b"}, table: map[string]*tree{"a": text, "b": text}}},
		{"ZEmpty", &tree{wire: typeList, elem: typeNumber}},
	}
	t.fields = slices.Concat(added[:4], t.fields, added[4:])
}

// since are fields that came after the first version of a message. Who does not
// know them is served as if they were zero.
var since = []string{"Serves", "Applied", "Skew", "Certificates", "Beat", "Limited", "Forgotten", "More", "Place", "MaxConnectionAge", "Names", "Protocol"}

// older takes off a struct what its version did not know.
func older(t *tree) {
	t.fields = slices.DeleteFunc(t.fields, func(f branch) bool { return slices.Contains(since, f.name) })
}

// version is the codec of a naru of another version.
type version struct{ change func(*tree) }

func (version) Name() string { return "naru" }

func (v version) Marshal(m any) (mem.BufferSlice, error) {
	out, err := codec{}.Marshal(m)
	if err != nil {
		return nil, err
	}
	return mem.BufferSlice{mem.SliceBuffer(v.message(string(out.Materialize()), m))}, nil
}

func (v version) Unmarshal(data mem.BufferSlice, m any) error {
	return codec{}.Unmarshal(mem.BufferSlice{mem.SliceBuffer(v.message(string(data.Materialize()), m))}, m)
}

// message rewrites one: an update is the length of its head, that, and frames.
func (v version) message(text string, m any) []byte {
	if _, ok := m.(*update); !ok {
		return []byte(rewrite(text, v.change))
	}
	r := &reading{in: text}
	head := rewrite(r.take(r.uvarint()), v.change)
	return append(append(binary.AppendUvarint(nil, uint64(len(head))), head...), r.in...)
}

// TestOtherVersions: a proxy of an older naru, and one of a newer, say and
// understand what they need on the link with this one: that they join, follow,
// acknowledge and register, and what a noun says in fields that both know.
func TestOtherVersions(t *testing.T) {
	t.Parallel()
	for name, v := range map[string]version{"older": {older}, "newer": {newer}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := encode(nil, everything())
			var back model.Workload
			if err := decode(rewrite(string(text), v.change), &back); err != nil {
				t.Fatal(err)
			}
			if back.Name != "shop/orders-1" || back.Ports[1].Port != 9102 || back.Address != "10.0.0.1" || string(back.PassportKey) != "key" {
				t.Errorf("a noun: %+v", back)
			}
			converse(t, v)
		})
	}
}

// everything is a noun with something of each kind.
func everything() *model.Workload {
	return &model.Workload{
		Name: "shop/orders-1", Namespace: "shop", Account: "orders", Address: "10.0.0.1", MeshPort: 15008, Weight: -3, PassportKey: []byte("key"),
		Ports: []model.WorkloadPort{{Service: "shop/orders", Port: 9101}, {Service: "shop/orders", Port: 9102}}, Place: model.Place{Zone: "a"},
	}
}

// converse speaks for a proxy of another version with a server of this one.
func converse(t *testing.T, v version) {
	feed := newFeed(shop(3))
	ca := newCA(t)
	p := startPlane(t, ServerOptions{Feed: feed, Authority: ca, Store: newFakeStore(), Heartbeat: time.Hour}, "")
	c := startClient(t, ClientOptions{Token: p.token(t, Grant{Node: "n1"})})
	c.until(t, "it has joined", func(*model.Snapshot) bool { return true })
	if err := c.stop(); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	eventually(t, "it is gone", func() bool { return len(p.Status()) == 0 })
	conn, err := dial(p.address, clientTLS(domain, c.certificate, c.roots, time.Now))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	as := grpc.ForceCodecV2(v)
	w := &model.Workload{Name: "shop/orders-1", Namespace: "shop", Account: "orders", Address: "10.0.0.1", MeshPort: 15008, Ports: []model.WorkloadPort{{Service: "shop/orders", Port: 9101}}}
	if err := conn.Invoke(ctx, "/"+serviceName+"/Register", &registerRequest{Workload: w}, &empty{}, as); err != nil {
		t.Fatal(err)
	}
	key, csr, err := newKey()
	if err != nil {
		t.Fatal(err)
	}
	var signed signResponse
	if err := conn.Invoke(ctx, "/"+serviceName+"/Sign", &signRequest{ID: "spiffe://" + domain + "/ns/shop/sa/orders", CSR: csr}, &signed, as); err != nil {
		t.Fatal(err)
	}
	if leaf, _, err := parseChain(signed.Chain); err != nil || !leaf.PublicKey.(*ecdsa.PublicKey).Equal(key.Public()) {
		t.Errorf("signed: %v", err)
	}
	stream, err := conn.NewStream(ctx, &serviceDesc.Streams[0], "/"+serviceName+"/Follow", as)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.SendMsg(&ask{Hello: &hello{Version: "another", Subscriptions: ForNode()}}); err != nil {
		t.Fatal(err)
	}
	have := map[Name]bool{}
	take := func(until func() bool) {
		t.Helper()
		for !until() {
			var u update
			if err := stream.RecvMsg(&u); err != nil {
				t.Fatal(err)
			}
			list, err := readFrames(u.rest)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range list {
				have[r.Name] = true
			}
			for _, n := range u.Removed {
				delete(have, n)
			}
			if u.Nonce != 0 {
				if err := stream.SendMsg(&ask{Ack: u.Nonce}); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	take(func() bool { return have[Name{KindService, "shop/s0002:80"}] && have[Name{KindPolicy, "shop/p"}] })
	cfg := shop(4)
	cfg.Policies = nil
	feed.set(cfg)
	take(func() bool { return have[Name{KindService, "shop/s0003:80"}] && !have[Name{KindPolicy, "shop/p"}] })
	eventually(t, "the server knows what it has", func() bool {
		list := p.Status()
		return len(list) == 1 && list[0].Node == "n1" && list[0].Lag == 0 && list[0].System == feed.newest.Version && len(list[0].Refusals) == 0
	})
}
