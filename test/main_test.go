package test

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"google.golang.org/grpc/grpclog"
)

// long asks for the full number of repetitions.
var long = flag.Bool("long", os.Getenv("NARU_TEST_LONG") != "", "repeat reloads and restarts as often as the specification says")

// binary is the naru that TestMain built.
var binary string

func TestMain(m *testing.M) {
	if what := os.Getenv("NARU_TEST_ACT"); what != "" {
		if err := act(what, os.Args[1:]); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		return
	}
	flag.Parse()
	grpclog.SetLoggerV2(interopLog{}) // before anything of grpc-go is used
	os.Exit(withBinary(m))
}

func withBinary(m *testing.M) int {
	dir, err := os.MkdirTemp("", "naru-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	// What naru keeps for its user, it keeps here.
	if err := os.Setenv("XDG_DATA_HOME", filepath.Join(dir, "data")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	binary = filepath.Join(dir, "naru")
	args := []string{"build", "-o", binary}
	if raceDetector {
		// Without the profile it shares what is compiled with the tests.
		args = append(args, "-race", "-pgo=off")
	}
	build := exec.Command("go", append(args, "github.com/naru-mesh/naru/cmd/naru")...)
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "building naru:", err)
		return 1
	}
	// grpc-go's interop client reports there each call of its soak cases, which
	// would hide what matters. The runtime's own words do not go this way.
	quiet, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	os.Stderr = quiet
	return m.Run()
}
