// Package enclose puts into nouns what the files hold that these name, for
// proxies on other machines, where the files are not.
//
// # Words
//
// A noun names a file for a certificate and its key, for the roots that services
// are checked with, or for those that clients are. Enclosed it has the contents in
// its place.
//
// # Life
//
// A Feed stands between a control plane and its link. It reads the files when a
// Snapshot comes and looks every two seconds whether they have changed. Whoever
// calls Next is one goroutine; Of is for any. It ends with the context of Next.
//
// # Rules
//
// A Snapshot that names no files is handed on as it is. What has been read once
// stays when its file is gone or is not a certificate with its key any more: the
// log says so. What could never be read is handed on as the name of a file, so
// that the proxy says what it lacks and does not serve without.
//
// # Not here
//
// Who may have certificates (link); the machine's own proxy, which reads files
// itself (wire/secure); descriptors of gRPC, which are read where they are used.
package enclose
