package filter

// KeyReader gives the part of requests by which a service that is balanced by
// keys chooses (model.HashCEL). It is made once for a Program and asked on all
// loops. It may allocate; what it costs is bounded, and it does not panic.
type KeyReader interface {
	// Key appends to b what it reads of x. It is false where that is nothing:
	// the request goes by its next key, or has none.
	Key(b []byte, x *Exchange) ([]byte, bool)
}
