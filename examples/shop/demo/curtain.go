package main

import (
	"io"
	"os"
	"sync/atomic"
)

// curtain is standard output while it is open and nothing while it is closed,
// so that the greeting of a program does not stand in the middle of ours.
type curtain struct{ open atomic.Bool }

var _ io.Writer = (*curtain)(nil)

func (c *curtain) Write(p []byte) (int, error) {
	if !c.open.Load() {
		return len(p), nil
	}
	return os.Stdout.Write(p)
}
