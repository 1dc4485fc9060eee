package http1

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/naru-mesh/naru/wire"
	"golang.org/x/tools/txtar"
)

var update = flag.Bool("update", false, "rewrite what transcripts expect")

// A transcript is a txtar file of cases, each of three parts: "NAME: in" is
// what comes from the peer, in lines with Go's escapes, line ends left out;
// lines that begin with "@" are other things that happen. "out" is what the
// machine wrote and how it ended the connection, "events" what the proxy
// heard. Each case is run whole, byte by byte, and cut in two at every place;
// "(uncut)" in its name says that how the input is cut matters.

// stepIn is a line of "in".
type stepIn struct {
	do    string // a directive, or ""
	bytes []byte
}

func readSteps(t *testing.T, text []byte) (steps []stepIn) {
	t.Helper()
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\n")
		if strings.HasPrefix(line, "@") {
			steps = append(steps, stepIn{do: line[1:]})
			continue
		}
		s, err := strconv.Unquote(`"` + strings.ReplaceAll(line, `"`, `\"`) + `"`)
		if err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		if n := len(steps); n > 0 && steps[n-1].do == "" {
			steps[n-1].bytes = append(steps[n-1].bytes, s...)
		} else {
			steps = append(steps, stepIn{bytes: []byte(s)})
		}
	}
	return steps
}

// cut says how inputs are handed in: whole, byte by byte, or in two parts.
type cut struct {
	bytewise bool
	step, at int
}

func (c cut) give(conn *fakeConn, n int, b []byte) {
	switch {
	case c.bytewise:
		for i := range b {
			conn.give(b[i : i+1])
		}
	case c.at > 0 && c.step == n:
		conn.give(b[:c.at])
		conn.give(b[c.at:])
	default:
		conn.give(b)
	}
}

func (c cut) String() string {
	switch {
	case c.bytewise:
		return "byte by byte"
	case c.at > 0:
		return fmt.Sprintf("input %d cut at %d", c.step, c.at)
	}
	return "whole"
}

// cuts gives all ways to hand steps in.
func cuts(name string, steps []stepIn) []cut {
	if strings.Contains(name, "(uncut)") {
		return []cut{{}}
	}
	all := []cut{{}, {bytewise: true}}
	for i, s := range steps {
		if s.do == "" {
			for at := 1; at < len(s.bytes); at++ {
				all = append(all, cut{step: i, at: at})
			}
		}
	}
	return all
}

// common carries out what both sides of a transcript can do.
func common(t *testing.T, conn *fakeConn, do string) {
	verb, arg, _ := strings.Cut(do, " ")
	switch verb {
	case "eof":
		conn.giveEOF()
	case "close":
		conn.lose(errors.New("reset"))
	case "wait":
		d, err := time.ParseDuration(arg)
		if err != nil {
			t.Fatal(err)
		}
		conn.loop.pass(d)
		conn.loop.turn()
	case "stuck":
		conn.stuck = true
	case "take":
		n, _ := strconv.Atoi(arg)
		conn.take(n)
	default:
		t.Fatalf("unknown directive %q", do)
	}
}

// quoteLines shows bytes as "in" has them.
func quoteLines(b []byte) string {
	var s strings.Builder
	for _, line := range bytes.SplitAfter(b, []byte("\n")) {
		if len(line) > 0 {
			q := strconv.Quote(string(line))
			s.WriteString(strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`))
			s.WriteByte('\n')
		}
	}
	return s.String()
}

func shown(conn *fakeConn) string {
	s := quoteLines(conn.out)
	if conn.ended != "" {
		s += "[" + conn.ended + "]\n"
	}
	return s
}

// runTranscripts checks all transcripts of a folder with run, which gives
// "out" and "events".
func runTranscripts(t *testing.T, dir string, run func(t *testing.T, steps []stepIn, c cut) (out, events string)) {
	files, err := filepath.Glob(filepath.Join("testdata", dir, "*.txtar"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			ar, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if *update {
				write(t, file, ar, run)
			}
			for i := 0; i+2 < len(ar.Files); i += 3 {
				name, in, out, events := cases(t, ar, i)
				steps := readSteps(t, in)
				for _, c := range cuts(name, steps) {
					gotOut, gotEvents := run(t, steps, c)
					if gotOut != out {
						t.Errorf("%s, %v: out:\n%swant:\n%s", name, c, gotOut, out)
						break
					}
					if gotEvents != events {
						t.Errorf("%s, %v: events:\n%swant:\n%s", name, c, gotEvents, events)
						break
					}
				}
			}
		})
	}
}

// cases gives the case whose input is file i of ar.
func cases(t *testing.T, ar *txtar.Archive, i int) (name string, in []byte, out, events string) {
	name, ok := strings.CutSuffix(ar.Files[i].Name, ": in")
	if !ok || ar.Files[i+1].Name != "out" || ar.Files[i+2].Name != "events" {
		t.Fatalf("file %q: want \"NAME: in\", \"out\", \"events\"", ar.Files[i].Name)
	}
	return name, ar.Files[i].Data, string(ar.Files[i+1].Data), string(ar.Files[i+2].Data)
}

// write fills in what the cases of ar expect.
func write(t *testing.T, file string, ar *txtar.Archive, run func(*testing.T, []stepIn, cut) (string, string)) {
	var files []txtar.File
	for _, f := range ar.Files {
		if strings.HasSuffix(f.Name, ": in") {
			out, events := run(t, readSteps(t, f.Data), cut{})
			files = append(files, f, txtar.File{Name: "out", Data: []byte(out)}, txtar.File{Name: "events", Data: []byte(events)})
		}
	}
	ar.Files = files
	if err := os.WriteFile(file, txtar.Format(ar), 0o644); err != nil {
		t.Fatal(err)
	}
}

// testLimits are small, so that transcripts can pass them.
var testLimits = wire.Limits{
	HeadBytes: 400, Fields: 8, URIBytes: 64, BodyBytes: 100, Requests: 5,
	Idle: 75 * time.Second, Head: 15 * time.Second, Body: 30 * time.Second, Write: 20 * time.Second,
	Age: 200 * time.Second,
}

func TestServerTranscripts(t *testing.T) {
	t.Parallel()
	serverTranscripts(t, "server", &testLimits)
}

// TestConnectTranscripts: of clients that say where they want to go.
func TestConnectTranscripts(t *testing.T) {
	t.Parallel()
	lim := testLimits
	lim.Forward = true
	serverTranscripts(t, "connect", &lim)
}

func serverTranscripts(t *testing.T, dir string, lim *wire.Limits) {
	runTranscripts(t, dir, func(t *testing.T, steps []stepIn, c cut) (string, string) {
		loop := &fakeLoop{}
		s := &site{loop: loop}
		conn := newFakeConn(loop)
		New(1).Serve(conn, s, lim)
		for i, step := range steps {
			switch {
			case step.do == "drain":
				s.draining = true
			case step.do == "resume":
				for _, v := range s.open {
					v.stream.Resume()
				}
				loop.turn()
			case step.do == "more":
				for _, v := range s.open {
					v.stream.Data([]byte("more"), false)
				}
			case step.do != "":
				common(t, conn, step.do)
			default:
				c.give(conn, i, step.bytes)
			}
		}
		return shown(conn), s.log.String()
	})
}

// FuzzConnect: a CONNECT, what comes with it and what comes then are the same
// however they are cut, and nothing follows the end of an exchange.
func FuzzConnect(f *testing.F) {
	files, err := filepath.Glob(filepath.Join("testdata", "connect", "*.txtar"))
	if err != nil || len(files) == 0 {
		f.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		ar, err := txtar.ParseFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for i := 0; i+2 < len(ar.Files); i += 3 {
			if in, err := strconv.Unquote(`"` + strings.ReplaceAll(strings.ReplaceAll(string(ar.Files[i].Data), "\n", ""), `"`, `\"`) + `"`); err == nil {
				f.Add([]byte(in))
			}
		}
	}
	lim := testLimits
	lim.Forward = true
	f.Fuzz(func(t *testing.T, in []byte) {
		if !bytes.HasPrefix(in, []byte("CONNECT ")) {
			return
		}
		serve := func(c cut) string {
			loop := &fakeLoop{}
			s := &site{loop: loop}
			conn := newFakeConn(loop)
			New(1).Serve(conn, s, &lim)
			c.give(conn, 0, in)
			conn.giveEOF()
			return shown(conn) + s.log.String()
		}
		whole := serve(cut{})
		for _, c := range []cut{{bytewise: true}, {at: len(in) / 2}} {
			if got := serve(c); got != whole {
				t.Errorf("%v:\n%s\nwhole:\n%s", c, got, whole)
			}
		}
	})
}
