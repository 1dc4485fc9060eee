package attest

import (
	"bufio"
	"slices"
	"strings"
	"testing"
)

// TestListeningSockets reads what the kernel writes.
func TestListeningSockets(t *testing.T) {
	t.Parallel()
	const lines = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:3AA0 0A0A0A0A:0000 01 00000000:00000000 00:00000000 00000000  1000        0 77 1 0
   1: 0100007F:3AA0 00000000:0000 0A 00000000:00000000 00:00000000 00000000    33        0 88 1 0
`
	for port, want := range map[uint16][]listener{15008: {{"88", 33}}, 15009: nil} {
		if got := listening(bufio.NewScanner(strings.NewReader(lines)), port); !slices.Equal(got, want) {
			t.Errorf("port %d: %v, not %v", port, got, want)
		}
	}
}
