package wire

import (
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"math/rand/v2"
)

// An exchange that asks for another protocol has the form of HTTP/1.1
// whatever it came by (RFC 8441 section 5): GET with Upgrade, answered by 101.
// What a WebSocket's handshake has there and not here is put in and taken out.

// Keys of a WebSocket's handshake.
var (
	KeySocketKey    = KeyOf("Sec-WebSocket-Key")
	KeySocketAccept = KeyOf("Sec-WebSocket-Accept")
)

// challenge gives a request the key that services of HTTP/1.1 ask for. It is
// no secret: it proves that who answers has understood (RFC 6455 section 1.3).
func challenge(h *Head, protocol []byte) {
	if !EqualFold(protocol, "websocket") {
		return
	}
	var raw [16]byte
	binary.LittleEndian.PutUint64(raw[:], rand.Uint64())
	binary.LittleEndian.PutUint64(raw[8:], rand.Uint64())
	var key [24]byte
	base64.StdEncoding.Encode(key[:], raw[:])
	h.Set(KeySocketKey, key[:])
}

// Granted makes a 101 of the answer to an extended CONNECT. tmp is scratch.
func Granted(x *Exchange, tmp []byte) []byte {
	h := &x.Response
	h.Status = 101
	h.Length = -1
	h.Add(KeyUpgrade, x.Upgrade)
	key, ok := x.Request.Get(KeySocketKey)
	if !ok || !EqualFold(x.Upgrade, "websocket") {
		return tmp
	}
	tmp = append(tmp[:0], key...)
	tmp = append(tmp, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"...)
	sum := sha1.Sum(tmp)
	var accept [28]byte
	base64.StdEncoding.Encode(accept[:], sum[:])
	h.Set(KeySocketAccept, accept[:])
	return tmp
}
