package attest

import (
	"bufio"
	"strings"
	"testing"
)

// TestHolding reads what the kernel writes.
func TestHolding(t *testing.T) {
	t.Parallel()
	const lines = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:3AA0 0A0A0A0A:0000 01 00000000:00000000 00:00000000 00000000  1000        0 77 1 0
   1: 0100007F:3AA0 00000000:0000 0A 00000000:00000000 00:00000000 00000000    33        0 88 1 0
`
	if inode, uid, ok := holding(bufio.NewScanner(strings.NewReader(lines)), 15008); !ok || inode != "88" || uid != 33 {
		t.Errorf("%s of %d, %v", inode, uid, ok)
	}
	if _, _, ok := holding(bufio.NewScanner(strings.NewReader(lines)), 15009); ok {
		t.Error("somebody listens where nobody does")
	}
}
