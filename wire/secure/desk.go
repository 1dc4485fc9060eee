package secure

// Sizes. A record carries at most 2^14 bytes (RFC 8446 section 5.1); its
// ciphertext may be longer by 2048 in TLS 1.2 and by 256 in TLS 1.3.
const (
	recordHead   = 5
	recordPlain  = 16 << 10
	recordCipher = recordPlain + 2048
	recordMost   = recordHead + recordPlain + 256

	// plainBytes is how much is decrypted before the handler is called: large,
	// so that big bodies move in few calls (a 256 KiB read saves a third of the
	// cost of a 64 KiB one).
	plainBytes = 256 << 10
	// sendBytes is how much ciphertext is collected before it goes out.
	sendBytes = 256 << 10
	// spareMost bounds the buffers kept for incomplete records, in each loop.
	spareMost = 64
)

// desk is the working space of one loop; only that loop uses it.
type desk struct {
	plain []byte   // decrypted, on its way to a handler
	join  []byte   // one record's worth, to join small parts of a Write
	out   []byte   // ciphertext on its way to the raw Conn
	spare [][]byte // buffers of recordMost bytes for incomplete records
}

// borrow gives an empty buffer with room for n bytes.
func (d *desk) borrow(n int) []byte {
	if n > recordMost {
		return make([]byte, 0, n)
	}
	if k := len(d.spare); k > 0 {
		b := d.spare[k-1]
		d.spare = d.spare[:k-1]
		return b
	}
	return make([]byte, 0, recordMost)
}

// giveBack takes a buffer that nobody uses any more; only those of the usual
// size are kept.
func (d *desk) giveBack(b []byte) {
	if cap(b) == recordMost && len(d.spare) < spareMost {
		d.spare = append(d.spare, b[:0])
	}
}

// recordLen is the length of the record that b begins with, header included,
// or 0 while the header is incomplete.
func recordLen(b []byte) int {
	if len(b) < recordHead {
		return 0
	}
	return recordHead + int(b[3])<<8 + int(b[4])
}

// ready says that b begins with a record that crypto/tls can be given: a whole
// one, or one that it will refuse for its length.
func ready(b []byte) bool {
	n := recordLen(b)
	return n != 0 && (len(b) >= n || n > recordHead+recordCipher)
}
