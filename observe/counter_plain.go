//go:build !race && (amd64 || arm64)

package observe

// Add counts n more; only the one owner may call it.
//
// The Go memory model lets a reader of a single machine word see some value
// that was really written, also without synchronization, and a counter needs
// no more: there is one writer, and a reader that sees the count of a moment
// ago is right too.
func (c *Counter) Add(n uint64) { c.n += n }
