package naru

import (
	"bufio"
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/naru-mesh/naru"

// Budgets of the house.
const (
	softFile    = 500  // lines; more is allowed, and asked about
	hardFile    = 800  // lines of a file that is not a test
	hardTest    = 1500 // lines of a test file
	hardPackage = 3000 // lines of a package without tests
	deepest     = 2    // folders below the root
	docLines    = 60   // of a package comment
)

// roomy packages have more to say than others.
var roomy = map[string]int{"capture": 3300, "dialect/gatewayapi": 8000, "dialect/short": 5800, "link": 6600, "app": 7000, "model": 7000, "proxy": 9450, "upstream": 7600, "wire": 3700, "wire/http2": 4850, "wire/loop": 3920}

var badNames = []string{"util", "utils", "common", "helper", "helpers", "types", "base", "misc", "pkg", "shared", "lib"}

// room is a package of the module.
type room struct {
	path    string // below the module; "" is the root
	files   []*source
	imports map[string][]string // import path -> files, without tests
}

type source struct {
	name  string
	lines int
	test  bool
	tree  *ast.File
	text  []byte
}

// rooms reads every package of the module.
func rooms(t *testing.T) map[string]*room {
	t.Helper()
	all := map[string]*room{}
	fset := token.NewFileSet()
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			if n := d.Name(); name != "." && (strings.HasPrefix(n, ".") || n == "testdata" || n == "node_modules") {
				return filepath.SkipDir
			}
			return nil
		case !strings.HasSuffix(name, ".go"):
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		tree, err := parser.ParseFile(fset, name, text, parser.ParseComments)
		if err != nil {
			return err
		}
		dir := filepath.ToSlash(filepath.Dir(name))
		if dir == "." {
			dir = ""
		}
		r := all[dir]
		if r == nil {
			r = &room{path: dir, imports: map[string][]string{}}
			all[dir] = r
		}
		s := &source{name: name, lines: bytes.Count(text, []byte("\n")), test: strings.HasSuffix(name, "_test.go"), tree: tree, text: text}
		r.files = append(r.files, s)
		if !s.test {
			for _, i := range tree.Imports {
				p, _ := strconv.Unquote(i.Path.Value)
				r.imports[p] = append(r.imports[p], name)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// policy is floors.txt.
type policy struct {
	floors   [][]string
	beside   []string
	children []string
	stdOnly  []string
	deny     [][2]string
	fences   map[string][]string
}

func readPolicy(t *testing.T) *policy {
	t.Helper()
	f, err := os.Open("floors.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p := &policy{fences: map[string][]string{}}
	for in, n := bufio.NewScanner(f), 1; in.Scan(); n++ {
		line, _, _ := strings.Cut(in.Text(), "#")
		key, rest, ok := strings.Cut(strings.TrimSpace(line), ":")
		if key == "" {
			continue
		}
		if !ok {
			t.Fatalf("floors.txt:%d: no colon", n)
		}
		words := strings.Fields(rest)
		switch {
		case strings.HasPrefix(key, "floor "):
			p.floors = append(p.floors, words)
		case key == "beside":
			p.beside = words
		case key == "children":
			p.children = words
		case key == "std-only":
			p.stdOnly = words
		case key == "deny" && len(words) == 3:
			p.deny = append(p.deny, [2]string{words[0], words[2]})
		case key == "fence" && len(words) >= 3:
			p.fences[words[0]] = words[2:]
		default:
			t.Fatalf("floors.txt:%d: %q is not understood", n, key)
		}
	}
	return p
}

// covers says whether a pattern of floors.txt names a package.
func covers(pattern, pkg string) bool {
	if below, ok := strings.CutSuffix(pattern, "/..."); ok {
		return strings.HasPrefix(pkg, below+"/")
	}
	return pattern == pkg
}

func anyCovers(patterns []string, pkg string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return covers(p, pkg) })
}

// floorOf gives the floor, -1 beside the house, -2 for a stranger.
func (p *policy) floorOf(pkg string) int {
	if pkg == "" || anyCovers(p.beside, pkg) {
		return -1
	}
	for i, list := range p.floors {
		if anyCovers(list, pkg) {
			return i
		}
	}
	return -2
}

func TestFloors(t *testing.T) {
	p := readPolicy(t)
	all := rooms(t)
	for pkg, r := range all {
		floor := p.floorOf(pkg)
		if floor == -2 {
			t.Errorf("%s stands on no floor: give it a place in floors.txt (and say why in RATIONALE.md), or move it into a room that has one", pkg)
			continue
		}
		for imp, where := range r.imports {
			below, ours := strings.CutPrefix(imp, module+"/")
			if !ours {
				if slices.Contains(p.stdOnly, pkg) && strings.Contains(imp, ".") {
					t.Errorf("%s imports %s: floor 0 uses the standard library only; do this in a room above", where[0], imp)
				}
				continue
			}
			target := p.floorOf(below)
			parent := path.Dir(below)
			if _, exists := all[parent]; !exists {
				parent = "."
			}
			switch {
			case floor == -1:
			case target == -1:
				t.Errorf("%s imports %s, which stands beside the house: rooms do not depend on tests, benchmarks or examples", where[0], below)
			case target > floor:
				t.Errorf("%s imports %s upwards: let the caller pass in what is needed, or declare an interface here", where[0], below)
			case target == floor && path.Dir(pkg) != below:
				t.Errorf("%s imports %s on the same floor: meet in a contract on a lower floor, or in app", where[0], below)
			case parent != "." && path.Dir(pkg) != parent && !slices.Contains(p.children, pkg) && target != 0:
				t.Errorf("%s imports %s: only %v may name the implementations of a contract; use package %s", where[0], below, p.children, parent)
			}
			for _, d := range p.deny {
				if covers(d[0], pkg) && covers(d[1], below) {
					t.Errorf("%s imports %s: floors.txt denies that", where[0], below)
				}
			}
		}
	}
}

func TestFences(t *testing.T) {
	p := readPolicy(t)
	for pkg, r := range rooms(t) {
		if p.floorOf(pkg) < 0 {
			continue
		}
		for imp, where := range r.imports {
			for fenced, allowed := range p.fences {
				if (imp == fenced || strings.HasPrefix(imp, fenced+"/")) && !slices.Contains(allowed, pkg) {
					t.Errorf("%s imports %s: only %v may", where[0], imp, allowed)
				}
			}
		}
	}
}

func TestPackageComments(t *testing.T) {
	for pkg, r := range rooms(t) {
		lines, found := 0, 0
		for _, f := range r.files {
			if f.test || f.tree.Doc == nil || f.tree.Name.Name == "main" && f.tree.Doc == nil {
				continue
			}
			found++
			lines = strings.Count(f.tree.Doc.Text(), "\n")
		}
		switch onlyTests := !slices.ContainsFunc(r.files, func(s *source) bool { return !s.test }); {
		case onlyTests:
		case found == 0:
			t.Errorf("%s has no package comment: add a doc.go (Purpose, Words, Life, Rules, Not here)", name(pkg))
		case found > 1:
			t.Errorf("%s has %d package comments: keep the one in doc.go", name(pkg), found)
		case lines > docLines:
			t.Errorf("%s: the package comment has %d lines, %d are allowed: move the rest next to the code", name(pkg), lines, docLines)
		}
	}
}

func TestNames(t *testing.T) {
	seen := map[string]string{}
	p := readPolicy(t)
	for pkg, r := range rooms(t) {
		leaf := path.Base(pkg)
		if slices.Contains(badNames, leaf) {
			t.Errorf("%s: a name says what is inside; %q does not", pkg, leaf)
		}
		if p.floorOf(pkg) >= 0 && strings.Count(pkg, "/") >= deepest {
			t.Errorf("%s is deeper than %d folders: make it a room of its own, or files of its parent", pkg, deepest)
		}
		if p.floorOf(pkg) < 0 {
			continue
		}
		if other, twice := seen[leaf]; twice {
			t.Errorf("%s and %s have the same leaf name: a reader should know a room by one word", pkg, other)
		}
		seen[leaf] = pkg
		for _, f := range r.files {
			if f.test {
				continue
			}
			for _, d := range f.tree.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
					t.Errorf("%s has an init function: wiring stands in app", f.name)
				}
			}
		}
	}
}

func TestSizes(t *testing.T) {
	for pkg, r := range rooms(t) {
		total := 0
		for _, f := range r.files {
			limit := hardFile
			if f.test {
				limit = hardTest
			} else {
				total += f.lines
			}
			if f.lines > limit {
				t.Errorf("%s has %d lines, %d are allowed: which second responsibility can leave?", f.name, f.lines, limit)
			} else if f.lines > softFile && !f.test {
				t.Logf("%s has %d lines: is it still one responsibility?", f.name, f.lines)
			}
		}
		limit := hardPackage
		if n, ok := roomy[pkg]; ok {
			limit = n
		}
		if total > limit {
			t.Errorf("%s has %d lines, %d are allowed: split it along its Words", name(pkg), total, limit)
		}
	}
}

// TestGoroutines keeps goroutine-free what must be: machines and words.
func TestGoroutines(t *testing.T) {
	quiet := []string{"model", "wire", "wire/http1", "route", "filter", "dialect", "dialect/short", "dialect/gatewayapi"}
	for pkg, r := range rooms(t) {
		if !slices.Contains(quiet, pkg) && !strings.HasPrefix(pkg, "filter/") {
			continue
		}
		for _, f := range r.files {
			if f.test {
				continue
			}
			ast.Inspect(f.tree, func(n ast.Node) bool {
				if _, ok := n.(*ast.GoStmt); ok {
					t.Errorf("%s starts a goroutine: this room is pure; let its caller do it", f.name)
				}
				return true
			})
		}
	}
}

// TestWords keeps out of the tree what must not be there.
func TestWords(t *testing.T) {
	for _, r := range rooms(t) {
		for _, f := range r.files {
			if f.name == "house_test.go" {
				continue
			}
			for _, word := range []string{"TODO", "FIXME", "XXX:"} {
				if bytes.Contains(f.text, []byte(word)) {
					t.Errorf("%s says %s: do it, or file an issue", f.name, word)
				}
			}
			if f.test && bytes.Contains(f.text, []byte("time.Sleep(")) {
				t.Errorf("%s sleeps: wait for the event itself, or use fake time", f.name)
			}
		}
	}
}

func name(pkg string) string {
	if pkg == "" {
		return "the root"
	}
	return fmt.Sprintf("package %s", pkg)
}
