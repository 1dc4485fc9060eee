package app

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/naru-mesh/naru/identity/attest"
)

// named says of an address that is in use who listens there, where that can be
// seen; any other error is given as it is.
func named(err error, port uint16) error {
	if !errors.Is(err, syscall.EADDRINUSE) {
		return err
	}
	switch h, ok := attest.HolderOf(port); {
	case !ok, h.PID == os.Getpid(): // in the way of itself: the error says enough
		return err
	case h.PID == 0:
		return fmt.Errorf("%w: a program of user %s listens on port %d", err, userName(h.UID), port)
	default:
		return fmt.Errorf("%w: process %d (%s) of user %s listens on port %d", err, h.PID, h.Program, userName(h.UID), port)
	}
}
