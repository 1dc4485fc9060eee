package observe

import "testing"

func TestGRPCCodeByName(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]GRPCCode{
		"OK": 0, "ok": 0, "cancelled": 1, "canceled": 1, "resource-exhausted": 8, "RESOURCE_EXHAUSTED": 8,
		"unavailable": 14, "Unauthenticated": 16,
	} {
		if got, ok := GRPCCodeByName(name); !ok || got != want {
			t.Errorf("%s: %d, %t", name, got, ok)
		}
	}
	for _, name := range []string{"", "14", "un-available", "unavailable "} {
		if got, ok := GRPCCodeByName(name); ok {
			t.Errorf("%q is %v", name, got)
		}
	}
	for c := GRPCOK; c < GRPCCodes; c++ {
		if got, ok := GRPCCodeByName(c.String()); !ok || got != c {
			t.Errorf("%v comes back as %v", c, got)
		}
	}
	if s := GRPCCode(99).String(); s != "UNKNOWN" {
		t.Errorf("99 is %s", s)
	}
}

// The table of the specification, and what naru knows better.
func TestReasonGRPC(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]GRPCCode{
		400: 13, 401: 16, 403: 7, 404: 12, 429: 14, 502: 14, 503: 14, 504: 14, 500: 2, 418: 2, 200: 2, 0: 2,
	} {
		if got := GRPCCodeOf(status); got != want {
			t.Errorf("%d is %v, want %v", status, got, want)
		}
	}
	for why, want := range map[Reason]GRPCCode{
		NoRoute: GRPCUnimplemented, ConnectRefused: GRPCUnavailable, UpstreamTimeout: GRPCUnavailable,
		RequestTimeout: GRPCDeadlineExceeded, TooManyConnections: GRPCUnavailable, BodyTooLarge: GRPCResourceExhausted,
		BadField: GRPCInternal, Internal: GRPCInternal, ClientGone: GRPCCancelled,
	} {
		if got := why.GRPC(); got != want {
			t.Errorf("%v is %v, want %v", why, got, want)
		}
	}
}
