package identity

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"math/big"
	"time"
)

// Forgotten says which certificates of our own trust domain are refused though
// they are good otherwise: those that were given to a machine, or of an identity,
// before a moment. It travels with the bundles, so that whoever judges certificates
// has it, and keeps it.
type Forgotten struct {
	// Machine is the name of a machine, ID an identity; one of the two.
	Machine string `json:"machine,omitempty"`
	ID      ID     `json:"id,omitempty"`
	// Issued: those that were issued before are refused, of which a certificate
	// knows the second.
	Issued time.Time `json:"issued"`
	// From is when they begin to be refused: whoever has the identity by right is
	// given that time to get other certificates.
	From time.Time `json:"from"`
}

// ForgetMachine has all certificates refused that a machine was given until now, at
// once: From is long ago, because the clock of whoever judges may be behind, and
// whoever has the machine must not gain by that.
func ForgetMachine(name string, now time.Time) Forgotten {
	// Certificates know the second: those of this one are refused, too.
	return Forgotten{Machine: name, Issued: now.Truncate(time.Second).Add(time.Second), From: time.Unix(0, 0)}
}

// String says so for people.
func (f *Forgotten) String() string {
	who := "identity " + string(f.ID)
	if f.Machine != "" {
		who = "machine " + f.Machine
	}
	return who + ", certificates from before " + stamp(f.Issued)
}

func (f Forgotten) equal(o Forgotten) bool {
	return f.Machine == o.Machine && f.ID == o.ID && f.Issued.Equal(o.Issued) && f.From.Equal(o.From)
}

// machineKey is the context key of ForMachine.
type machineKey struct{}

// ForMachine has an Authority that signs with this context note in the certificate
// which machine it is for.
func ForMachine(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, machineKey{}, name)
}

// markSize is how many bytes of a serial number say for which machine it is.
const markSize = 8

// markOf stands for a machine. Nobody can choose the serial of a certificate, so
// eight bytes are enough that no other machine is taken for it by chance.
func markOf(machine string) (mark [markSize]byte) {
	sum := sha256.Sum256([]byte("naru machine\x00" + machine))
	copy(mark[:], sum[:])
	return mark
}

// NewSerial makes a serial number of 128 bits: 62 are random, and where the
// context is ForMachine's the others say for which (else they are random too).
// That is in no other field, so that what services are told of a caller's
// certificate does not name machines.
func NewSerial(ctx context.Context) *big.Int {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it does not fail
	b[0] = b[0]&0x7f | 0x40
	if machine, _ := ctx.Value(machineKey{}).(string); machine != "" {
		mark := markOf(machine)
		copy(b[len(b)-markSize:], mark[:])
	}
	return new(big.Int).SetBytes(b[:])
}

// forgotten is what a Verifier knows of them, the newest of each.
type forgotten struct {
	machines map[[markSize]byte]*Forgotten
	ids      map[ID]*Forgotten
}

func newForgotten(list []Forgotten) *forgotten {
	if len(list) == 0 {
		return nil
	}
	f := &forgotten{machines: map[[markSize]byte]*Forgotten{}, ids: map[ID]*Forgotten{}}
	for i := range list {
		x := &list[i]
		if x.Machine != "" {
			f.machines[markOf(x.Machine)] = x
		} else {
			f.ids[x.ID] = x
		}
	}
	return f
}

// of gives why a certificate is refused at a time, nil where it is not.
func (f *forgotten) of(cert *x509.Certificate, id ID, now time.Time) *Forgotten {
	if f == nil || cert.SerialNumber == nil {
		return nil
	}
	var serial [16]byte
	if cert.SerialNumber.BitLen() <= 8*len(serial) {
		cert.SerialNumber.FillBytes(serial[:])
	}
	for _, x := range [...]*Forgotten{f.machines[[markSize]byte(serial[len(serial)-markSize:])], f.ids[id]} {
		if x != nil && cert.NotBefore.Add(Backdate).Before(x.Issued) && !now.Before(x.From) {
			return x
		}
	}
	return nil
}

// token is of for a token of an identity: which machine it was made on it does not
// tell.
func (f *forgotten) token(id ID, issued, now time.Time) *Forgotten {
	if f == nil {
		return nil
	}
	if x := f.ids[id]; x != nil && issued.Before(x.Issued) && !now.Before(x.From) {
		return x
	}
	return nil
}

// Forgot says whether a certificate that was accepted is not any more, because
// whom it was given to is forgotten, or its trust domain is not believed any more.
func (v *Verifier) Forgot(cert *x509.Certificate, id ID, now time.Time) bool {
	return v.domains[id.TrustDomain()] == nil || v.forgotten != nil && id.TrustDomain() == v.own && v.forgotten.of(cert, id, now) != nil
}

// Outdated says whether a certificate of our own trust domain is to be replaced,
// because it is refused, or will be.
func (b *Bundles) Outdated(cert *x509.Certificate, id ID) bool {
	future := time.Unix(1<<40, 0)
	return newForgotten(b.Forgotten).of(cert, id, future) != nil
}
