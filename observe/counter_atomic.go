//go:build race || !(amd64 || arm64)

package observe

import "sync/atomic"

// Add counts n more; only the one owner may call it. Here words may tear or
// the race detector watches, so the store is atomic.
func (c *Counter) Add(n uint64) { atomic.StoreUint64(&c.n, c.n+n) }
