package app

import (
	"io"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/naru-mesh/naru/model"
)

// Options of a run, as the command line gives them.
type Options struct {
	// Files are files, folders and globs; "-" is standard input.
	Files []string
	// To and Listen make a configuration of one route where there is no file.
	To, Listen string
	// TLS is where certificates come from for a listener on top of what Files
	// say: auto or local. Names are the hosts that they are for; none: those of
	// the routes. "" is no such listener.
	TLS   string
	Names []string
	// Admin and AccessLog go before what the configuration says; "" leaves it.
	Admin     string
	AccessLog string
	// Overload goes before what the configuration says; nil leaves it (ReadOverload).
	Overload *model.Overload
	// Drain bounds how long requests under way may take to end. 0 is 30 s,
	// negative is no time at all.
	Drain time.Duration
	// Loops is the number of event loops; 0 is one for each core.
	Loops int
	Log   *slog.Logger
	// Out is where the greeting goes, and the access log unless it has a file.
	Out io.Writer
	// JSON makes the greeting one line for machines.
	JSON bool
	Mesh MeshOptions
}

const defaultDrain = 30 * time.Second

// Version of this build: the module's, or the commit's.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return "devel-" + s.Value[:12]
		}
	}
	return "devel"
}
