// Package test tries the whole binary: it builds cmd/naru once, starts it with
// real files and real sockets on loopback, puts servers behind it that behave
// well or badly, and looks at what comes out.
//
// # Words
//
// A gateway is a running naru process. A service stands behind it: an HTTP
// server, or a script on a raw connection. A client speaks bytes.
//
// # Life
//
// TestMain builds the binary into a temporary folder. Each test starts its own
// gateway on free ports and ends it; whatever a gateway says about a panic
// fails the test that started it.
//
// # Rules
//
// Tests run in parallel, do not sleep and do not measure time: they wait for
// an event, or ask again until something holds. testdata/raw holds requests
// byte for byte with the answers they must get; testdata/script holds
// commands with their exact output.
//
// # Not here
//
// What one room can be asked alone stands beside that room.
package test
