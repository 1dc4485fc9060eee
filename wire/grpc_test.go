package wire

import (
	"testing"
	"time"

	"github.com/naru-mesh/naru/observe"
)

func TestRPCOf(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]RPC{
		"application/grpc": GRPC, "application/grpc+proto": GRPC, "Application/GRPC+JSON": GRPC,
		"application/grpc;charset=utf-8": GRPC, "application/grpc ; a=b": GRPC,
		"application/grpc-web": GRPCWeb, "application/grpc-web+proto": GRPCWeb, "application/grpc-web; x": GRPCWeb,
		"application/grpc-web-text": GRPCWebText, "application/grpc-web-text+proto": GRPCWebText,
		"": NoRPC, "application/json": NoRPC, "application/grpcx": NoRPC, "application/grpc-webx": NoRPC,
		"application/grpc-web-texts": NoRPC, "application/grpc-": NoRPC, "text/application/grpc": NoRPC,
	} {
		h := &Head{}
		h.AddString(KeyContentType, in)
		if got := h.RPC(); got != want {
			t.Errorf("%q: %d, want %d", in, got, want)
		}
	}
	if k := (&Head{}).RPC(); k != NoRPC {
		t.Errorf("no type is %d", k)
	}
}

func TestGRPCStatus(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]observe.GRPCCode{
		"0": 0, "14": 14, "016": 16, "17": 2, "x": 2, "": 2, "-1": 2, "99999999999999999999": 2,
	} {
		h := &Head{}
		h.AddString(KeyGRPCStatus, in)
		if got, ok := h.GRPCStatus(); !ok || got != want {
			t.Errorf("%q: %v, %t", in, got, ok)
		}
	}
	if _, ok := (&Head{}).GRPCStatus(); ok {
		t.Error("no status is one")
	}
}

// TestKeepGRPCProblem counts allocations, so it does not run in parallel.
func TestKeepGRPCProblem(t *testing.T) {
	h := &Head{}
	h.AddString(KeyLocation, "/old")
	KeepGRPCProblem(h, observe.NoRoute, GRPC)
	want := "Content-Type: application/grpc\r\ngrpc-status: 12\r\ngrpc-message: No route matches\r\nx-naru-reason: no_route\r\n"
	if got := string(h.AppendFields(nil)); h.Status != 200 || h.Length != 0 || got != want {
		t.Errorf("%d %d %q", h.Status, h.Length, got)
	}
	KeepGRPCProblem(h, observe.RequestTimeout, GRPCWebText)
	want = "Content-Type: application/grpc-web-text+proto\r\ngrpc-status: 4\r\ngrpc-message: The request took too long\r\nx-naru-reason: request_timeout\r\n"
	if got := string(h.AppendFields(nil)); got != want {
		t.Errorf("%q", got)
	}
	if n := testing.AllocsPerRun(100, func() { KeepGRPCProblem(h, observe.NoRoute, GRPCWeb) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestGRPCMessage(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"plain ~ text": "plain ~ text", "100%": "100%25", "a\r\nb\x7f": "a%0D%0Ab%7F", "é": "%C3%A9", "": "",
	} {
		if got := string(AppendGRPCMessage(nil, in)); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
}

func TestGRPCTimeout(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]time.Duration{
		"1H": time.Hour, "2M": 2 * time.Minute, "3S": 3 * time.Second, "4m": 4 * time.Millisecond,
		"5u": 5 * time.Microsecond, "6n": 6, "0S": 0, "99999999n": 99999999, "99999999H": 1<<63 - 1,
	} {
		if got, ok := ParseGRPCTimeout([]byte(in)); !ok || got != want {
			t.Errorf("%q: %v, %t", in, got, ok)
		}
	}
	for _, bad := range []string{"", "S", "1", "1s", "100000000S", "-1S", "+1S", "1.5S", " 1S", "1SS"} {
		if got, ok := ParseGRPCTimeout([]byte(bad)); ok {
			t.Errorf("%q is %v", bad, got)
		}
	}
	for d, want := range map[time.Duration]string{
		0: "0n", -1: "0n", 99999999: "99999999n", 100 * time.Millisecond: "100000u", time.Minute: "60000000u",
		time.Hour: "3600000m", 48 * time.Hour: "172800S", 1<<63 - 1: "2562047H", 200 * time.Second: "200000m",
	} {
		got := AppendGRPCTimeout(nil, d)
		if string(got) != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
		if back, ok := ParseGRPCTimeout(got); !ok || back > max(d, 0) {
			t.Errorf("%v comes back as %v", d, back)
		}
	}
}
