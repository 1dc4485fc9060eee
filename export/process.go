package export

import (
	"bytes"
	"os"
	"runtime"
	"runtime/metrics"
	"strconv"
	"strings"

	"github.com/naru-mesh/naru/observe"
)

// Process adds what is known of the process to g, under the names that every
// Prometheus user knows: naru_build_info with the version, process_* from /proc
// (nothing where that is not mounted) and go_* from the runtime. All is read
// when it is asked for.
func Process(g *observe.Registry, version string) {
	g.Func("naru_build_info", "The program: always 1, with its version and that of Go as labels.", observe.KindGauge,
		[]string{"version", "goversion"}, func(emit func(float64, ...string)) { emit(1, version, runtime.Version()) })
	for _, f := range [...]struct {
		name, help string
		kind       observe.Kind
		read       func() (float64, bool)
	}{
		{"process_cpu_seconds_total", "CPU time used, in user and system mode, in seconds.", observe.KindCounter, cpuSeconds},
		{"process_resident_memory_bytes", "Resident memory, in bytes.", observe.KindGauge, func() (float64, bool) { return statusBytes("VmRSS:") }},
		{"process_virtual_memory_bytes", "Virtual memory, in bytes.", observe.KindGauge, func() (float64, bool) { return statusBytes("VmSize:") }},
		{"process_start_time_seconds", "When the process started, in seconds since 1970.", observe.KindGauge, startSeconds},
		{"process_open_fds", "Open file descriptors.", observe.KindGauge, openFiles},
		{"process_max_fds", "Most file descriptors that may be open.", observe.KindGauge, maxFiles},
		{"go_goroutines", "Goroutines that exist.", observe.KindGauge, figure("/sched/goroutines:goroutines")},
		{"go_sched_gomaxprocs_threads", "Threads that may run Go code at the same time.", observe.KindGauge, figure("/sched/gomaxprocs:threads")},
		{"go_gc_cycles_total", "Completed garbage collections.", observe.KindCounter, figure("/gc/cycles/total:gc-cycles")},
		{"go_gc_heap_live_bytes", "Heap that the last garbage collection found in use, in bytes.", observe.KindGauge, figure("/gc/heap/live:bytes")},
		{"go_gc_heap_allocs_bytes_total", "Memory allocated on the heap since the start, in bytes.", observe.KindCounter, figure("/gc/heap/allocs:bytes")},
		{"go_gc_heap_allocs_objects_total", "Objects allocated on the heap since the start.", observe.KindCounter, figure("/gc/heap/allocs:objects")},
		{"go_memory_classes_total_bytes", "Memory that the Go runtime has mapped, in bytes.", observe.KindGauge, figure("/memory/classes/total:bytes")},
	} {
		g.Func(f.name, f.help, f.kind, nil, func(emit func(float64, ...string)) {
			if v, ok := f.read(); ok {
				emit(v)
			}
		})
	}
}

// figure reads one of the Go runtime's.
func figure(name string) func() (float64, bool) {
	return func() (float64, bool) {
		s := []metrics.Sample{{Name: name}}
		metrics.Read(s)
		switch s[0].Value.Kind() {
		case metrics.KindUint64:
			return float64(s[0].Value.Uint64()), true
		case metrics.KindFloat64:
			return s[0].Value.Float64(), true
		}
		return 0, false // not known to this version of Go
	}
}

// ticks a second are what /proc counts CPU time in, on every Linux machine
// that Go runs on (USER_HZ).
const ticks = 100

// stat gives field n of /proc/self/stat, counted from 1 as in proc(5).
func stat(n int) (float64, bool) {
	b, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return 0, false
	}
	// The second field is a name in brackets that may hold anything.
	rest := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if n-3 >= len(rest) {
		return 0, false
	}
	v, err := strconv.ParseFloat(rest[n-3], 64)
	return v, err == nil
}

func cpuSeconds() (float64, bool) {
	user, ok := stat(14)
	system, ok2 := stat(15)
	return (user + system) / ticks, ok && ok2
}

func startSeconds() (float64, bool) {
	sinceBoot, ok := stat(22)
	b, err := os.ReadFile("/proc/stat")
	if !ok || err != nil {
		return 0, false
	}
	boot, ok := after(string(b), "\nbtime ")
	return boot + sinceBoot/ticks, ok
}

// statusBytes reads a line such as "VmRSS:	 5516 kB" of /proc/self/status.
func statusBytes(key string) (float64, bool) {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, false
	}
	kib, ok := after(string(b), "\n"+key)
	return kib * 1024, ok
}

// after gives the number that follows key in s.
func after(s, key string) (float64, bool) {
	_, rest, ok := strings.Cut(s, key)
	words := strings.Fields(rest)
	if !ok || len(words) == 0 {
		return 0, false
	}
	v, err := strconv.ParseFloat(words[0], 64)
	return v, err == nil
}

// openFiles counts /proc/self/fd. Newer kernels (6.2) give the number as the
// size of the folder, which spares reading ten thousand names.
func openFiles() (float64, bool) {
	if info, err := os.Stat("/proc/self/fd"); err == nil && info.Size() > 0 {
		return float64(info.Size()), true
	}
	f, err := os.Open("/proc/self/fd")
	if err != nil {
		return 0, false
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	return float64(len(names) - 1), err == nil // f itself is one of them
}

func maxFiles() (float64, bool) {
	b, err := os.ReadFile("/proc/self/limits")
	if err != nil {
		return 0, false
	}
	return after(string(b), "\nMax open files")
}
