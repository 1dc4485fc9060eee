package link

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"

	"github.com/naru-mesh/naru/model"
)

// The messages. Fields may be added, with a zero value that means what was
// before; none changes its type.

type empty struct{}

// ask is what a proxy says on the stream.
type ask struct {
	Hello *hello
	// Have is the answer to head.Need: only what differs is sent.
	Have *haves
	// Subscribe replaces what was subscribed to; the answer is the difference.
	Subscribe *wants
	// Ack and Refused answer an update. A refused update is acknowledged too:
	// what is not named in Refused was taken.
	Ack     uint64
	Refused []Refusal
	// Applied is the Version of the proxy's own Snapshot after it.
	Applied string
	// Ping is the proxy's clock in Unix nanoseconds, sent back as it is.
	Ping int64
	// Certificates, with a Ping, are those that the proxy holds.
	Certificates []CertificateState
	// Counts is what the proxy has counted for whoever decides, which this package
	// does not read: it takes the place of what came before.
	Counts []byte
	// Skew, with a Ping, is how far the server's clock is ahead of the proxy's,
	// in nanoseconds, as the heartbeat before has shown; 0: not known yet.
	Skew int64
	// Serves is the Nonce of the newest update that the proxy goes by: it may be
	// later than Ack, by the time that compiling takes.
	Serves uint64
}

// hello begins a stream.
type hello struct {
	Version       string // of naru
	Address       string // of the node's mesh listener, for people
	Subscriptions []Subscription
	// Count and Digest are of what the proxy has already (markOf). Where they
	// are not what it should have, the server asks for the list (head.Need).
	Count  int
	Digest uint64
	// Bundles is the sum of those that it has.
	Bundles string
	// Serves: the proxy says ask.Serves. Else what it has acknowledged counts.
	Serves bool
	// Process is another number for each process of a node: what another one has
	// registered is its own to say again. 0 is not known.
	Process uint64
}

type have struct {
	Kind Kind
	Name string
	Sum  string
}

type haves struct{ List []have }

// markOf stands for a resource in a digest, which is the XOR of all of them:
// two sets that are the same have the same, in any order.
func markOf(n Name, sum string) uint64 {
	hash := sha256.Sum256([]byte(string([]byte{byte(n.Kind)}) + sum + n.Name))
	return binary.LittleEndian.Uint64(hash[:8])
}

type wants struct{ Subscriptions []Subscription }

// update is what a server says: a head and the frames behind it.
type update struct {
	head
	frames [][]byte // sent: shared by all streams
	rest   string   // received: frames, one behind the other
}

type head struct {
	// Nonce is 0 where nothing is to be acknowledged.
	Nonce uint64
	// System is the Version that the proxy has once it has taken this.
	System string
	// Server names the replica.
	Server  string
	Time    int64 // the server's clock, Unix nanoseconds
	Pong    int64
	Beat    int64 // with Pong: how often the proxy should say that it is there, ms
	Removed []Name
	// Need asks for ask.Have.
	Need bool
	// More: the update goes on in the next message.
	More bool
	// Bundles, where they are others than the proxy has.
	Bundles *wireBundles
	// Limited says why nothing can be signed or registered now; "": it can.
	Limited string
}

// Refusal is a resource that a proxy did not take; it keeps the one before.
type Refusal struct {
	Kind Kind
	Name string
	// Origin is where the user wrote it.
	Origin model.Origin
	// Field is the way to the mistake inside the resource, where that is known:
	// "endpoints[0].port".
	Field   string
	Message string
}

// CertificateState is a certificate that a proxy holds.
type CertificateState struct {
	ID       string // a SPIFFE ID
	NotAfter int64  // Unix seconds
}

type joinRequest struct {
	Node  string
	Token []byte // the secret; none: the certificate of the connection counts
	CSR   []byte
}

type joinResponse struct {
	Chain       [][]byte
	TrustDomain string
	Bundles     *wireBundles
}

type signRequest struct {
	ID       string
	CSR      []byte   // for X.509
	Audience []string // for JWT
	TTL      int64    // nanoseconds
}

type signResponse struct {
	Chain [][]byte
	Token string
}

type registerRequest struct {
	Workload *model.Workload // of Unregister, its Name and Namespace
	Process  uint64          // hello.Process, of Register
}

// codec is what gRPC writes messages with.
type codec struct{}

var _ encoding.CodecV2 = codec{}

func (codec) Name() string { return "naru" }

func (codec) Marshal(v any) (mem.BufferSlice, error) {
	u, ok := v.(*update)
	if !ok {
		return mem.BufferSlice{mem.SliceBuffer(encode(nil, v))}, nil
	}
	body := encode(nil, &u.head)
	first := binary.AppendUvarint(make([]byte, 0, len(body)+binary.MaxVarintLen32), uint64(len(body)))
	out := make(mem.BufferSlice, 0, 1+len(u.frames))
	out = append(out, mem.SliceBuffer(append(first, body...)))
	for _, f := range u.frames {
		out = append(out, mem.SliceBuffer(f))
	}
	return out, nil
}

func (codec) Unmarshal(data mem.BufferSlice, v any) error {
	text := string(data.Materialize())
	u, ok := v.(*update)
	if !ok {
		return decode(text, v)
	}
	d := decoder{in: text}
	first, err := d.text()
	if err != nil {
		return fmt.Errorf("the head of an update: %w", err)
	}
	u.rest = d.in
	return decode(first, &u.head)
}
