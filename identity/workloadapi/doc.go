// Package workloadapi serves the SPIFFE Workload API to the processes of this
// machine, on a Unix socket: their X.509-SVIDs, JWT-SVIDs, and the bundles.
//
// # Words
//
// A caller is the process at the other end of the socket, by what the kernel
// says of it (SO_PEERCRED): nobody can claim to be another. To attest is to tell
// which identities it has.
//
// # Life
//
// New, then Serve on a listener from Listen until Close. Each stream asks for
// the caller's identities when it begins and before each message, holds them
// while it lasts, and sends all there is each time something changes.
//
// # Rules
//
// The protocol is the standard's, and nothing is added to it (SPIFFE Workload
// Endpoint, section 4; SPIFFE Workload API, sections 5 and 6).
//
// A caller without an identity gets PermissionDenied, also for bundles. A
// process that took over the number of one that ended is nobody.
//
// # Not here
//
// Who has which identity (the caller of New says), keys and renewal
// (identity/agent), WIT-SVIDs.
package workloadapi
