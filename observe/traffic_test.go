package observe

import (
	"testing"
	"time"
	"unsafe"
)

func BenchmarkDone(b *testing.B) {
	t := NewRegistry(1).Traffic(ScopeRoute, "r", 0)
	r := Record{Status: 200, Duration: 3 * time.Millisecond, BytesIn: 100, BytesOut: 1000}
	for b.Loop() {
		t.Begin()
		t.Done(&r)
	}
	_ = unsafe.Sizeof(*t)
}
func BenchmarkDoneVaried(b *testing.B) {
	t := NewRegistry(1).Traffic(ScopeRoute, "r", 0)
	r := Record{Status: 200, Duration: 3 * time.Millisecond, BytesIn: 100, BytesOut: 1000}
	s := uint64(1)
	for b.Loop() {
		s = s*6364136223846793005 + 1442695040888963407
		r.Duration = time.Duration(s >> 34)
		t.Begin()
		t.Done(&r)
	}
}
