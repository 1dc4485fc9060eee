package test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/naru-mesh/naru/test/freeport"
	"github.com/rogpeppe/go-internal/testscript"
)

// TestScripts runs testdata/script. Beside what testscript knows there is
//
//	exits STATUS ARG...     runs naru, which must end with this exit status
//
// and $OCCUPIED, an address on which somebody else listens, and $FREE, and in
// the folder of each script site.crt and site.key, a certificate.
func TestScripts(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() })
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", filepath.Dir(binary)+string(os.PathListSeparator)+env.Getenv("PATH"))
			env.Setenv("OCCUPIED", taken.Addr().String())
			env.Setenv("FREE", "127.0.0.1:"+freeport.Hold(t))
			chain, key := certificate(t, 1, "site.example")
			if err := os.WriteFile(filepath.Join(env.WorkDir, "site.crt"), []byte(chain), 0o600); err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(env.WorkDir, "site.key"), []byte(key), 0o600)
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exits": func(ts *testscript.TestScript, neg bool, args []string) {
				if neg || len(args) < 1 {
					ts.Fatalf("usage: exits STATUS ARG...")
				}
				err := ts.Exec("naru", args[1:]...)
				code := 0
				var ended *exec.ExitError
				if errors.As(err, &ended) {
					code = ended.ExitCode()
				} else if err != nil {
					ts.Fatalf("%v", err)
				}
				if strconv.Itoa(code) != args[0] {
					ts.Fatalf("exit status %s", fmt.Sprint(code))
				}
			},
		},
	})
}
