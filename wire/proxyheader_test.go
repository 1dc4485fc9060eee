package wire

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

// v2 writes a header of version 2 by hand.
func v2(command, family byte, body ...byte) string {
	return proxyV2 + string([]byte{command, family, byte(len(body) >> 8), byte(len(body))}) + string(body)
}

func TestParseProxyHeader(t *testing.T) {
	t.Parallel()
	four := []byte{192, 0, 2, 1, 198, 51, 100, 2, 0xdc, 0x04, 0x01, 0xbb}
	six := append(append(netip.MustParseAddr("2001:db8::1").AsSlice(), netip.MustParseAddr("2001:db8::2").AsSlice()...), 0xdc, 0x04, 0x01, 0xbb)
	mapped := append(append(netip.MustParseAddr("::ffff:192.0.2.1").AsSlice(), netip.MustParseAddr("::ffff:198.51.100.2").AsSlice()...), 0, 1, 0, 2)
	const said4, said6 = "192.0.2.1:56324 to 198.51.100.2:443", "[2001:db8::1]:56324 to [2001:db8::2]:443"
	for text, want := range map[string]string{
		"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n":               said4,
		"PROXY TCP6 2001:db8::1 2001:db8::2 56324 443\r\n":              said6,
		"PROXY TCP6 ::ffff:192.0.2.1 ::ffff:198.51.100.2 56324 443\r\n": said4,
		"PROXY UNKNOWN\r\n":                                 "nobody",
		"PROXY UNKNOWN ffff::1 anything else\r\n":           "nobody",
		"PROXY TCP4 192.0.2.1 198.51.100.2 0 65535\r\n":     "192.0.2.1:0 to 198.51.100.2:65535",
		"PROXY TCP4 192.0.2.1 198.51.100.2 56324 65536\r\n": "error",
		"PROXY TCP4 192.0.2.1 198.51.100.2 56324 0443\r\n":  "error",
		"PROXY TCP4 192.0.2.1 198.51.100.2 56324 +443\r\n":  "error",
		"PROXY TCP4 192.0.2.1 198.51.100.2 56324 \r\n":      "error",
		"PROXY TCP4 192.0.2.1  198.51.100.2 56324 443\r\n":  "error",
		"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443 \r\n":  "error",
		"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\n":     "error",
		"PROXY TCP4 192.0.2.01 198.51.100.2 56324 443\r\n":  "error",
		"PROXY TCP4 2001:db8::1 2001:db8::2 56324 443\r\n":  "error",
		"PROXY TCP6 192.0.2.1 198.51.100.2 56324 443\r\n":   "error",
		"PROXY TCP6 fe80::1%eth0 2001:db8::2 56324 443\r\n": "error",
		"PROXY UDP4 192.0.2.1 198.51.100.2 56324 443\r\n":   "error",
		"PROXY tcp4 192.0.2.1 198.51.100.2 56324 443\r\n":   "error",
		"PROXY \r\n": "error",
		"proxy TCP4 192.0.2.1 198.51.100.2 56324 443\r\n":              "error",
		"PROXY UNKNOWN" + strings.Repeat(" ", proxyV1Most):             "error",
		"GET / HTTP/1.1\r\n":                                           "error",
		"\x16\x03\x01":                                                 "error",
		v2(0x21, 0x11, four...):                                        said4,
		v2(0x21, 0x12, four...):                                        said4,
		v2(0x21, 0x21, six...):                                         said6,
		v2(0x21, 0x21, mapped...):                                      "192.0.2.1:1 to 198.51.100.2:2",
		v2(0x21, 0x11, append(four[:12:12], 4, 0, 2, 'x', 'y')...):     said4,
		v2(0x21, 0x11, append(four[:12:12], make([]byte, 3000)...)...): said4,
		v2(0x20, 0x00):                                                 "nobody",
		v2(0x20, 0x11, four...):                                        "nobody",
		v2(0x20, 0x11):                                                 "nobody",
		v2(0x21, 0x00):                                                 "nobody",
		v2(0x21, 0x00, four...):                                        "nobody",
		v2(0x21, 0x31, make([]byte, 216)...):                           "nobody",
		v2(0x21, 0x11, four[:11]...):                                   "error",
		v2(0x21, 0x21, six[:35]...):                                    "error",
		v2(0x21, 0x41, six...):                                         "error",
		v2(0x21, 0x13, four...):                                        "error",
		v2(0x22, 0x11, four...):                                        "error",
		v2(0x11, 0x11, four...):                                        "error",
		v2(0x21, 0x11, append(four[:12:12], make([]byte, proxyV2Most)...)...): "error",
		strings.Replace(v2(0x21, 0x11, four...), "QUIT", "QUIX", 1):           "error",
	} {
		if got := parsed(t, text); got != want {
			t.Errorf("%q\n is %s, want %s", text, got, want)
		}
	}
}

// parsed tells what a header says. Each beginning of it, and it with more
// behind it, must say the same.
func parsed(t *testing.T, text string) string {
	t.Helper()
	h, n, err := ParseProxyHeader([]byte(text + "more"))
	if err == nil && n != len(text) {
		t.Errorf("%q takes %d bytes of %d", text, n, len(text))
	}
	for i := range len(text) {
		if part, k, wrong := ParseProxyHeader([]byte(text[:i])); k != 0 || part != (ProxyHeader{}) || wrong != nil && err == nil {
			t.Errorf("%q: %v, %d, %v", text[:i], part, k, wrong)
		}
	}
	switch {
	case err != nil:
		return "error"
	case h == ProxyHeader{}:
		return "nobody"
	}
	return fmt.Sprintf("%v to %v", h.Remote, h.Local)
}

func TestAppendProxyHeader(t *testing.T) {
	t.Parallel()
	addr := netip.MustParseAddrPort
	for _, c := range []struct {
		remote, local netip.AddrPort
		v1, back      string
	}{
		{addr("192.0.2.1:1"), addr("192.0.2.2:2"), "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", "192.0.2.1:1 to 192.0.2.2:2"},
		{addr("[::ffff:192.0.2.1]:1"), addr("192.0.2.2:2"), "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", "192.0.2.1:1 to 192.0.2.2:2"},
		{addr("[2001:db8::1]:1"), addr("[fe80::2%1]:2"), "PROXY TCP6 2001:db8::1 fe80::2 1 2\r\n", "[2001:db8::1]:1 to [fe80::2]:2"},
		{addr("[2001:db8::1]:1"), addr("192.0.2.2:2"), "PROXY TCP6 2001:db8::1 ::ffff:192.0.2.2 1 2\r\n", "[2001:db8::1]:1 to 192.0.2.2:2"},
		{netip.AddrPort{}, addr("192.0.2.2:2"), "PROXY UNKNOWN\r\n", "nobody"},
	} {
		h := ProxyHeader{c.remote, c.local}
		one := AppendProxyHeader([]byte("x"), 1, h)[1:]
		if string(one) != c.v1 {
			t.Errorf("%q, want %q", one, c.v1)
		}
		for _, text := range [][]byte{one, AppendProxyHeader(nil, 2, h)} {
			if got := parsed(t, string(text)); got != c.back {
				t.Errorf("%q says %s, want %s", text, got, c.back)
			}
		}
	}
}

func FuzzProxyHeader(f *testing.F) {
	f.Add([]byte("PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n"))
	f.Add([]byte("PROXY UNKNOWN x\r\n"))
	f.Add([]byte(v2(0x21, 0x11, 192, 0, 2, 1, 198, 51, 100, 2, 0xdc, 4, 1, 0xbb)))
	f.Add([]byte(v2(0x20, 0)))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, n, err := ParseProxyHeader(b)
		if err != nil && (n != 0 || h != ProxyHeader{}) || n > len(b) || n > proxyV2Most {
			t.Fatalf("%v, %d, %v", h, n, err)
		}
		if h.Remote.IsValid() != h.Local.IsValid() {
			t.Fatalf("half of it: %v", h)
		}
		if n == 0 {
			if err == nil && len(b) >= proxyV2Most {
				t.Fatal("it waits for ever")
			}
			return
		}
		// No beginning says anything else, and what is behind does not matter.
		if _, k, wrong := ParseProxyHeader(b[:n-1]); k != 0 || wrong != nil {
			t.Fatalf("one byte less: %d, %v", k, wrong)
		}
		if again, k, wrong := ParseProxyHeader(append(bytes.Clone(b[:n]), "PROXY"...)); again != h || k != n || wrong != nil {
			t.Fatalf("with more behind: %v, %d, %v", again, k, wrong)
		}
		for version := 1; version <= 2; version++ {
			if again, _, wrong := ParseProxyHeader(AppendProxyHeader(nil, version, h)); again != h || wrong != nil {
				t.Fatalf("%v written in version %d is read as %v, %v", h, version, again, wrong)
			}
		}
	})
}
