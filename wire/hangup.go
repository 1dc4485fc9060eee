package wire

// HangUpHandler is a ConnHandler that wants to hear that the peer has ended its
// side while the Conn is paused, and OnEOF has to wait. Plain Conns, and those of
// wire/secure, tell it.
type HangUpHandler interface {
	ConnHandler
	// OnHangUp: the peer sends no more (or has closed, which looks the same). At most
	// unread bytes came before that and no event has told them; with TLS that counts
	// what they are wrapped in. OnData and OnEOF come as ever when the handler
	// resumes. It is called from the loop's top, again for each Pause that follows.
	OnHangUp(unread int)
}
