// Package local is an authority of this machine, for developing: browsers and
// clients that are told to trust it see proper certificates without anybody
// else being asked.
//
// # Words
//
// A root is a key and a certificate that signs others. Its scope is what it
// can sign for at all: the scope "reserved" is localhost, names under
// .localhost and .test, and the loopback addresses, none of which are anybody's
// on the Internet; every other scope is one host and the names below it. A
// leaf is a certificate for one name, or for the loopback addresses.
//
// # Life
//
// A root is made when a name of its scope is first asked for, and kept in a
// folder that only its owner can read. Leaves and their keys are made while a
// client shakes hands, live for a day, are renewed at half of it, and never
// leave memory.
//
// # Rules
//
// What somebody trusts for developing must be of no use against the rest of
// the world, even to who steals its key. So each root carries, as a critical
// extension, the only names that it is valid for (RFC 5280 section 4.2.1.10),
// and can sign servers' certificates only; a host that might really exist has a
// root of its own, apart from the others. Leaves are made for names that the
// listener serves, and no others. Nothing is ever put into a trust store:
// naru certs says where the roots are.
//
// # Not here
//
// Certificates that others trust (identity/acme).
package local
