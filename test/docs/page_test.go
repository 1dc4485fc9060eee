package docs

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// root is the top of the repository.
const root = "../.."

// page is a Markdown file.
type page struct {
	name   string // below root
	text   string
	blocks []block
}

// block is a fenced part of a page.
type block struct {
	line  int
	lang  string
	text  string
	marks []string
}

// mark gives the rest of the mark that begins with name.
func (b *block) mark(name string) (rest string, ok bool) {
	for _, m := range b.marks {
		if m == name {
			return "", true
		}
		if rest, ok := strings.CutPrefix(m, name+": "); ok {
			return rest, true
		}
	}
	return "", false
}

func (b *block) has(name string) bool {
	_, ok := b.mark(name)
	return ok
}

var comment = regexp.MustCompile(`^<!-- (.*) -->$`)

// parse finds the blocks of a page.
func parse(name, text string) (*page, error) {
	p := &page{name: name, text: text}
	var marks []string
	var open *block
	for i, line := range strings.Split(text, "\n") {
		switch {
		case open != nil && strings.TrimSpace(line) == "```":
			p.blocks = append(p.blocks, *open)
			open = nil
		case open != nil:
			open.text += line + "\n"
		case strings.HasPrefix(line, "```"):
			open = &block{line: i + 1, lang: strings.TrimPrefix(line, "```"), marks: marks}
			marks = nil
		case strings.Contains(line, "```"):
			return nil, fmt.Errorf("%s:%d: a fence stands at the beginning of a line", name, i+1)
		case comment.MatchString(line):
			marks = append(marks, comment.FindStringSubmatch(line)[1])
		case strings.TrimSpace(line) != "":
			marks = nil
		}
	}
	if open != nil {
		return nil, fmt.Errorf("%s:%d: the block has no end", name, open.line)
	}
	return p, nil
}

// pages reads all documentation.
func pages(t *testing.T) []*page {
	t.Helper()
	names := []string{"README.md"}
	for _, below := range []string{"docs", "examples"} {
		err := filepath.WalkDir(filepath.Join(root, below), func(name string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && strings.HasSuffix(name, ".md") {
				short, _ := filepath.Rel(root, name)
				names = append(names, short)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	var all []*page
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		p, err := parse(name, string(text))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}

// like says whether got is what a page shows, in which "..." stands for
// anything.
func like(shown, got string) bool {
	var re strings.Builder
	re.WriteString(`^`)
	for line := range strings.Lines(shown) {
		line = strings.TrimRight(line, " \t\r\n")
		if line == "..." {
			re.WriteString(`(?:.*\n)*?`)
			continue
		}
		for i, part := range strings.Split(line, "...") {
			if i > 0 {
				re.WriteString(`.*`)
			}
			re.WriteString(regexp.QuoteMeta(part))
		}
		re.WriteString(`[ \t\r]*\n`)
	}
	re.WriteString(`$`)
	if got != "" && !strings.HasSuffix(got, "\n") {
		got += "\n"
	}
	return regexp.MustCompile(re.String()).MatchString(got)
}

func TestLike(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		shown, got string
		want       bool
	}{
		{"", "", true},
		{"", "x\n", false},
		{"a\n", "a", true},
		{"a...c\n", "abc\n", true},
		{"a...c\n", "ab\nc\n", false},
		{"a\n...\nd\n", "a\nb\nc\nd\n", true},
		{"a\n...\n", "a\n", true},
		{"...\nb\n", "a\nb\nc\n", false},
		{"a.b\n", "axb\n", false},
		{"HTTP/1.1 200 OK\n", "HTTP/1.1 200 OK\r\n", true},
	} {
		if got := like(c.shown, c.got); got != c.want {
			t.Errorf("like(%q, %q) = %v", c.shown, c.got, got)
		}
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	p, err := parse("x.md", "# T\n<!-- file: a.yaml -->\n<!-- mistake -->\n```yaml\nlisten: x\n```\ntext\n```console\n$ ls\n```\n")
	if err != nil || len(p.blocks) != 2 {
		t.Fatal(p, err)
	}
	b := p.blocks[0]
	if name, _ := b.mark("file"); name != "a.yaml" || !b.has("mistake") || b.text != "listen: x\n" || b.lang != "yaml" || b.line != 4 {
		t.Errorf("block %+v", b)
	}
	if c := p.blocks[1]; c.lang != "console" || len(c.marks) != 0 || c.text != "$ ls\n" {
		t.Errorf("block %+v", c)
	}
	for _, bad := range []string{"```yaml\nx\n", "- ```yaml\n"} {
		if _, err := parse("x.md", bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}
