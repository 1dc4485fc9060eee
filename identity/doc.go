// Package identity is the contract of those who give naru its certificates
// without anybody's doing, and of those who give workloads their identities.
//
// # Words
//
// A Want is a listener's wish: which names, from whom. An Issuer fulfils the
// Wants of one kind of authority; its implementations are the folders below.
// A Holding is a certificate that is at hand.
//
// An ID is the name of a workload, an SVID its proof, a Bundle what proofs are
// checked with, all as SPIFFE has them; a Verifier checks. An Authority signs.
// A Sealer encrypts keys that are written down.
//
// # Life
//
// app makes one Issuer of each kind and tells it the Wants of each Snapshot,
// after the Snapshot serves: an authority proves a name by asking the very
// ports that were opened for it. Handshakes ask for certificates at any time,
// through proxy. Close comes after the last handshake.
//
// # Rules
//
// An Issuer that fails goes on with what it has: an old certificate serves as
// long as there is no new one. Keys never leave the machine, and only their
// owner can read the files that they are in.
//
// # Not here
//
// Certificates that somebody configured (wire/secure).
package identity
