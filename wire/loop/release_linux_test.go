package loop

import (
	"os"
	"slices"
	"testing"
)

const someSmaps = `00400000-01274000 r-xp 00000000 fe:00 9978088                            /usr/bin/naru
Size:              14800 kB
Rss:                5000 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me
01274000-022ca000 r--p 00e74000 fe:00 9978088                            /usr/bin/naru
Rss:                5000 kB
Anonymous:             0 kB
022ca000-022cb000 r--p 01eca000 fe:00 9978088                            /usr/bin/naru
Anonymous:             4 kB
022cb000-022cc000 rw-p 01ecb000 fe:00 9978088                            /usr/bin/naru
Anonymous:             0 kB
022cc000-022cd000 r--s 01ecb000 fe:00 9978088                            /usr/bin/naru
Anonymous:             0 kB
7f0000000000-7f0000001000 r-xp 00000000 fe:00 9978089                    /usr/lib/libc.so
Anonymous:             0 kB
7f0000001000-7f0000002000 r--p 00000000 00:00 0
Anonymous:             0 kB
`

// TestRelease drops what is like the program's file, and nothing else; the
// program runs on.
func TestRelease(t *testing.T) {
	if got, want := unchanged([]byte(someSmaps), "/usr/bin/naru"), []mapping{{0x400000, 0x1274000}, {0x1274000, 0x22ca000}}; !slices.Equal(got, want) {
		t.Errorf("%x; want %x", got, want)
	}
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		t.Skip(err)
	}
	own, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Skip(err)
	}
	if len(unchanged(own, exe)) == 0 {
		t.Errorf("nothing of %s is found:\n%s", exe, own)
	}
	Release()
	after, err := os.ReadFile("/proc/self/smaps") // the program runs on
	if err != nil || len(unchanged(after, exe)) != len(unchanged(own, exe)) {
		t.Errorf("%v, now\n%s", err, after)
	}
}
