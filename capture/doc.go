// Package capture brings the traffic of workloads to their proxy, unchanged
// programs that know nothing of it.
//
// # Purpose
//
// A workload connects to 10.1.2.3:5432; its proxy accepts the connection and
// learns that it was meant for 10.1.2.3:5432. Names are answered by the mesh DNS,
// whatever resolver the workload asks. Plaintext that others send to a port of
// the workload comes to its proxy, which decides.
//
// # Words
//
// Capture is what one proxy process has set up on a machine, by a Method: EBPF
// (programs on a cgroup), Nftables (redirection in a network namespace) or
// Explicit (nothing; the workload has to be told of its proxy). A Cage is what
// one workload runs in; a Place says where that is, so that another
// process can start something there. Pins are files in bpffs that hold programs
// in place when no process does. DNS is a server of mesh names; a VIP is an
// address that stands for a service and is nobody's.
//
// # Life
//
// Open, early in the process, before anything listens; Workload for each
// workload, again when its options change; Place.Start for its processes;
// Cage.Close when it has ended. Close takes everything away; Leave lets it
// stand for a successor, as a crash does: new connections are refused then,
// never made directly. The successor's Open finds what stands, and its Workload
// replaces it program by program, without a moment in which anything passes.
//
// # How EBPF works
//
// connect4/connect6 note the destination in the socket's storage and rewrite it
// to the proxy's. sock_ops, before the SYN, notes it under the connection's
// source; sock_ops at the proxy's accepted socket moves it into that socket's
// storage, and a getsockopt program answers SO_ORIGINAL_DST from there, as
// connection tracking does for Nftables: whoever accepts has one way to ask.
// getpeername and recvmsg show the workload the address that it asked for.
// sk_lookup gives connections to a workload's ports to the proxy's listener,
// but for those of the proxy's cgroup, and the workload's own. All is assembled
// in Go; nothing runs per packet.
//
// With Nftables all rules are in the workload's network namespace, and so are
// the proxy's sockets: listening ones by Cage.Inside, dialled ones by
// Cage.Namespace. Nothing gets in from outside.
//
// # Rules
//
// Nothing fails open: what cannot be noted, and what has no listener of its
// address family, is refused. A connection that was not captured has no
// original destination, whatever it connected to. Names in cgroupfs and bpffs
// are made from a workload's by escape.
//
// # Not here
//
// What becomes of a connection (proxy), who a workload is (identity), which
// services there are (control). UDP other than DNS passes by, and so do raw
// sockets: this is not a sandbox.
package capture
