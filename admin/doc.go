// Package admin is the window for operators: health, readiness, metrics, the
// configuration in force and the problems in it.
//
// # Life
//
// app gives a Server what it may ask, and an address; Serve answers until it
// is closed. It runs on ordinary goroutines, apart from the loops, so a slow
// scrape never delays a request.
//
// # Rules
//
// It listens on loopback unless told otherwise, because it has no
// authentication. It never shows a private key or the value of a header that
// may hold a credential. It changes nothing.
package admin
