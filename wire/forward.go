package wire

// Forwarder is a Conn that can pass on what it receives by itself, in the
// kernel, where that costs less than showing it to a handler. Plain Conns are;
// ask by a type assertion, once for each Conn.
type Forwarder interface {
	Conn
	// Forward says that the handler does nothing with what it is given but
	// write it to another Conn of the same loop. From now on some of what
	// arrives may go there unseen: then h is told instead of OnData. Order is
	// kept, Pause, OnEOF and OnClose hold as before, and OnEOF comes when all
	// that went unseen is with the other Conn's kernel.
	//
	// The other Conn is written to from within OnData only, and may be closed
	// but by Abort only after OnEOF: what is on its way would be lost. False
	// says that it cannot be; nothing has changed then.
	Forward(to Conn, h ForwardHandler) bool
}

// ForwardHandler is told what a Forwarder passed on.
type ForwardHandler interface {
	// OnForwarded: n bytes went on unseen. Called from the loop's top.
	OnForwarded(n int)
}
