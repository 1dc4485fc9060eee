package peer

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// startNaru: as users run it, metrics on, access log off, on one core, with
// more than the default of idle connections kept to the service, as all get.
func startNaru(program string, j *Job) (*exec.Cmd, error) {
	j.Streams = j.Plain // one listener speaks both
	// A folder is read whole: no file of a Job before may be left in it.
	if err := os.RemoveAll(j.path("conf")); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(j.path("conf"), 0o700); err != nil {
		return nil, err
	}
	for i := range j.files() {
		if err := j.writeFile(i, 0); err != nil {
			return nil, err
		}
	}
	admin, err := FreePort()
	if err != nil {
		return nil, err
	}
	j.Admin = admin
	args := []string{"run", "--admin", admin.String(), "--drain", "1s", "--log-level", "warn"}
	if j.AccessLog {
		args = append(args, "--access-log", "json")
	}
	cmd := exec.Command(program, append(args, j.path("conf"))...)
	if j.AccessLog {
		cmd.Stdout, err = os.Create(j.path("access.log"))
	}
	return cmd, err
}

// files is how many the configuration has.
func (j *Job) files() int {
	if j.PerFile == 0 {
		return 1
	}
	return max(1, (j.Routes+j.PerFile-1)/j.PerFile)
}

// StampPath is answered by one route in the middle with a redirect whose
// status says which generation of the configuration serves: 301 for odd
// generations, 302 for even ones.
const StampPath = "/stamp"

// Stamp is the status of a generation.
func Stamp(generation int) int { return 302 - generation%2 }

// Change makes generation the content of the file that has the stamp: only
// that route differs. The file is replaced as editors do it, by a rename; ready,
// which may be nil, is called just before.
func (j *Job) Change(generation int, ready func()) error {
	i := 0
	if j.PerFile > 0 {
		i = j.Routes / 2 / j.PerFile
	}
	name, err := j.prepareFile(i, generation)
	if err != nil {
		return err
	}
	// Collect what making the text left, or it would be collected while the
	// change is timed, on the processors that naru needs.
	runtime.GC()
	if ready != nil {
		ready()
	}
	return os.Rename(name+".new", name)
}

func (j *Job) writeFile(i, generation int) error {
	name, err := j.prepareFile(i, generation)
	if err != nil {
		return err
	}
	return os.Rename(name+".new", name)
}

// prepareFile writes the new content beside the file.
func (j *Job) prepareFile(i, generation int) (name string, err error) {
	from, to := 0, j.Routes
	if j.PerFile > 0 {
		from, to = i*j.PerFile, min((i+1)*j.PerFile, j.Routes)
	}
	var b strings.Builder
	if j.Short {
		j.shortFile(&b, i == 0, from, to, generation)
	} else {
		j.gatewayFile(&b, i == 0, from, to, generation)
	}
	name = filepath.Join(j.path("conf"), fmt.Sprintf("%04d.yaml", i))
	return name, os.WriteFile(name+".new", []byte(b.String()), 0o600)
}

// RoutePath is the prefix of route i: a hundred services a team. All are of
// one length, so that lookups in tables of different sizes compare.
func RoutePath(i int) string { return fmt.Sprintf("/team%04d/service%06d/v1", i/100, i) }

func (j *Job) shortFile(b *strings.Builder, base bool, from, to, generation int) {
	if base {
		fmt.Fprintf(b, "listen: [\"%s\", {address: \"https://%s\", tls: {cert: %s, key: %s}}]\n", j.Plain, j.Secure, j.Cert.ChainFile, j.Cert.KeyFile)
		fmt.Fprintf(b, "services:\n  origin: {endpoints: \"%s\"}\n  calls: {endpoints: \"%s\", protocol: http2}\n", j.Origin, j.Calls)
	}
	b.WriteString("routes:\n")
	for i := from; i < to; i++ {
		fmt.Fprintf(b, "- {name: route%d, match: %s, to: origin}\n", i, RoutePath(i))
		if i == j.Routes/2 {
			fmt.Fprintf(b, "- {name: stamp, match: \"=%s\", redirect: {path: /elsewhere, status: %d}}\n", StampPath, Stamp(generation))
		}
	}
	if base {
		fmt.Fprintf(b, "- {name: calls, match: %s, to: calls}\n", CallPrefix)
		fmt.Fprintf(b, "- {name: pipe, match: \"tcp://%s\", to: origin}\n", j.Pipe)
		b.WriteString("- {name: all, match: /, to: origin}\n")
	}
}

func (j *Job) gatewayFile(b *strings.Builder, base bool, from, to, generation int) {
	if base {
		fmt.Fprintf(b, `apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: bench}
spec:
  gatewayClassName: naru
  addresses: [{type: IPAddress, value: %s}]
  listeners:
  - {name: plain, port: %d, protocol: HTTP}
  - {name: secure, port: %d, protocol: HTTPS, tls: {certificateRefs: [{name: cert}]}}
  - {name: pipe, port: %d, protocol: TCP}
---
apiVersion: gateway.networking.k8s.io/v1
kind: TCPRoute
metadata: {name: pipe}
spec:
  parentRefs: [{name: bench, sectionName: pipe}]
  rules:
  - backendRefs: [{name: origin, port: %d}]
---
apiVersion: v1
kind: Secret
metadata: {name: cert}
type: kubernetes.io/tls
stringData:
  tls.crt: |
%s
  tls.key: |
%s
---
apiVersion: v1
kind: Service
metadata: {name: origin}
spec: {clusterIP: %s, ports: [{port: %d}]}
---
apiVersion: v1
kind: Service
metadata: {name: calls}
spec: {clusterIP: %s, ports: [{port: %d, appProtocol: kubernetes.io/h2c}]}
`, j.Plain.Addr(), j.Plain.Port(), j.Secure.Port(), j.Pipe.Port(), j.Origin.Port(), indent(j.Cert.Chain), indent(j.Cert.Key), j.Origin.Addr(), j.Origin.Port(), j.Calls.Addr(), j.Calls.Port())
		j.gatewayRoute(b, "calls", "PathPrefix", CallPrefix,
			fmt.Sprintf("backendRefs: [{name: calls, port: %d}]", j.Calls.Port()))
		j.gatewayRoute(b, "all", "PathPrefix", "/", "")
	}
	for i := from; i < to; i++ {
		j.gatewayRoute(b, fmt.Sprintf("route%d", i), "PathPrefix", RoutePath(i), "")
		if i == j.Routes/2 {
			j.gatewayRoute(b, "stamp", "Exact", StampPath, fmt.Sprintf(
				"filters: [{type: RequestRedirect, requestRedirect: {statusCode: %d, path: {type: ReplaceFullPath, replaceFullPath: /elsewhere}}}]", Stamp(generation)))
		}
	}
}

func (j *Job) gatewayRoute(b *strings.Builder, name, kind, path, instead string) {
	if instead == "" {
		instead = fmt.Sprintf("backendRefs: [{name: origin, port: %d}]", j.Origin.Port())
	}
	fmt.Fprintf(b, `---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: %s}
spec:
  parentRefs: [{name: bench}]
  rules:
  - matches: [{path: {type: %s, value: %s}}]
    %s
`, name, kind, path, instead)
}

func indent(text []byte) string {
	return "    " + strings.ReplaceAll(strings.TrimSpace(string(text)), "\n", "\n    ")
}
