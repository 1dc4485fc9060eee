// Package agent holds the identities of the workloads of one machine: it makes
// their keys, gets them signed, renews them, and judges the identities of
// others.
//
// # Words
//
// To hold an identity is to have an SVID of it, or to try. A keeper is the
// goroutine that does so for one identity. Half-life is when an SVID is renewed:
// half of what was left when it came, give or take a tenth, so that those that
// came together do not go together.
//
// # Life
//
// New reads what is on the disk and begins to follow the bundles. Hold starts a
// keeper, its release ends it. Close ends all, and waits. Handshakes may come
// from New to the end of the process.
//
// # Rules
//
// A private key is made here, anew for each SVID, and is sent to nobody.
//
// An authority that is away changes nothing until an SVID expires: the old one
// is shown, and the authority is asked again, less and less often, up to once a
// minute, and at once after Retry. What is expired is not shown.
//
// An SVID that the authority gives and that is not for our key, not of the
// identity, or not confirmed by the bundle is refused, and the old one stays.
//
// A handshake takes no lock but that of a sync.Map's read.
//
// # Not here
//
// Which identities a machine may ask for (control), and which a peer may have
// (filter/auth, mesh).
package agent
