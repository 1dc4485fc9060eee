package secure

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"io"
	"strings"
	"testing"

	"github.com/naru-mesh/naru/wire"
)

// traffic is one direction of a TLS_AES_128_GCM_SHA256 connection (RFC 8446
// section 5.2): crypto/tls gives a test no way to ask for a key update.
type traffic struct {
	secret []byte
	aead   cipher.AEAD
	iv     []byte
	seq    uint64
}

func expand(secret []byte, label string, n int) []byte {
	label = "tls13 " + label
	info := append([]byte{byte(n >> 8), byte(n), byte(len(label))}, label...)
	out, err := hkdf.Expand(sha256.New, secret, string(append(info, 0)), n)
	if err != nil {
		panic(err)
	}
	return out
}

func newTraffic(secret []byte) *traffic {
	block, _ := aes.NewCipher(expand(secret, "key", 16))
	aead, _ := cipher.NewGCM(block)
	return &traffic{secret: secret, aead: aead, iv: expand(secret, "iv", 12)}
}

// next is the same direction after a key update.
func (k *traffic) next() *traffic { return newTraffic(expand(k.secret, "traffic upd", 32)) }

func (k *traffic) nonce() []byte {
	n := bytes.Clone(k.iv)
	var seq [8]byte
	binary.BigEndian.PutUint64(seq[:], k.seq)
	for i := range seq {
		n[4+i] ^= seq[i]
	}
	k.seq++
	return n
}

func (k *traffic) seal(typ byte, data string) []byte {
	plain := append([]byte(data), typ)
	n := len(plain) + 16
	head := []byte{23, 3, 3, byte(n >> 8), byte(n)}
	return k.aead.Seal(head, k.nonce(), plain, head)
}

// open reads one record.
func (k *traffic) open(t *testing.T, r io.Reader) (typ byte, data string) {
	t.Helper()
	head := make([]byte, recordHead)
	if _, err := io.ReadFull(r, head); err != nil {
		t.Fatal(err)
	}
	body := make([]byte, recordLen(head)-recordHead)
	if _, err := io.ReadFull(r, body); err != nil {
		t.Fatal(err)
	}
	plain, err := k.aead.Open(nil, k.nonce(), body, head)
	if err != nil {
		t.Fatal(err)
	}
	return plain[len(plain)-1], string(plain[:len(plain)-1])
}

func TestKeyUpdate(t *testing.T) {
	t.Parallel()
	const handshakeType, applicationType = 22, 23
	rec := echo()
	sv := mustServer(t, &wire.ServerTLS{Credentials: []wire.Credential{localhost()}})
	a := accept(t, sv, rec)
	cfg := clientConfig()
	var log bytes.Buffer
	cfg.KeyLogWriter = &log
	c := tls.Client(a.net, cfg)
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	<-a.ready
	if s := c.ConnectionState().CipherSuite; s != tls.TLS_AES_128_GCM_SHA256 {
		t.Skipf("this machine prefers %s", tls.CipherSuiteName(s))
	}
	secrets := map[string][]byte{}
	for line := range strings.Lines(log.String()) {
		f := strings.Fields(line)
		secrets[f[0]], _ = hex.DecodeString(f[2])
	}
	send, receive := newTraffic(secrets["CLIENT_TRAFFIC_SECRET_0"]), newTraffic(secrets["SERVER_TRAFFIC_SECRET_0"])
	// No ticket is on its way: the client keeps no sessions.

	const asked, notAsked = "\x18\x00\x00\x01\x01", "\x18\x00\x00\x01\x00"
	for round := range 3 {
		a.net.Write(send.seal(applicationType, "before"))
		if _, got := receive.open(t, a.net); got != "before" {
			t.Fatalf("round %d: echo %q", round, got)
		}
		// Data, an update in two fragments, and data under the new key, all in
		// one piece.
		b := send.seal(applicationType, "one ")
		b = append(b, send.seal(handshakeType, asked[:2])...)
		b = append(b, send.seal(handshakeType, asked[2:])...)
		send = send.next()
		a.net.Write(append(b, send.seal(applicationType, "two")...))
		if typ, got := receive.open(t, a.net); typ != handshakeType || got != notAsked {
			t.Fatalf("round %d: record of type %d %q, want a key update", round, typ, got)
		}
		receive = receive.next()
		if _, got := receive.open(t, a.net); got != "one two" {
			t.Fatalf("round %d: echo %q", round, got)
		}
	}
	a.net.Write(send.seal(handshakeType, "\x18\x00\x00\x01\x07"))
	rec.expect(t, "close: local error: tls: error decoding message")
}
