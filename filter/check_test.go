package filter

import "testing"

func TestEditableField(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"X-Env", "cookie", "Host", "Via", "Server", "Date"} {
		if k, err := EditableField(name); err != nil || k.Wire != name {
			t.Errorf("%s: %v, %v", name, k, err)
		}
	}
	for _, name := range []string{"", "a b", "a:b", "Content-Length", "transfer-encoding", "CONNECTION", "Keep-Alive", "TE", "Trailer", "Upgrade", "Proxy-Connection", "Expect"} {
		if _, err := EditableField(name); err == nil {
			t.Errorf("%q may be edited", name)
		}
	}
}

func TestFieldValue(t *testing.T) {
	t.Parallel()
	if err := FieldValue("X", "a b\tc, \u00e9"); err != nil {
		t.Error(err)
	}
	for _, v := range []string{"a\r\nb: c", " a", "a ", "a\x00"} {
		if FieldValue("X", v) == nil {
			t.Errorf("%q was taken", v)
		}
	}
}

func TestHostValue(t *testing.T) {
	t.Parallel()
	for _, h := range []string{"example.com", "a_b.example.com", "10.0.0.1", "[::1]"} {
		if err := HostValue(h, false); err != nil {
			t.Error(err)
		}
	}
	if err := HostValue("example.com:80", true); err != nil {
		t.Error(err)
	}
	for _, h := range []string{"", "example.com:80", "a b", "a/b", "u@h", "*.example.com", "a\r\nb"} {
		if HostValue(h, false) == nil {
			t.Errorf("%q was taken", h)
		}
	}
}
