package cli

import (
	"context"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/mattn/go-isatty"
)

// isTerminal says whether a person is at the other end of a file.
func isTerminal(f any) bool {
	file, ok := f.(*os.File)
	return ok && isatty.IsTerminal(file.Fd())
}

// coloured says whether a terminal wants colours (no-color.org).
func coloured() bool { return os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" }

// terminal writes messages for a person: time, level, message, and the rest
// as name=value beside it, one line each. It is for any goroutine.
type terminal struct {
	mu     *sync.Mutex // of out, shared with what With... gives
	out    io.Writer
	level  slog.Leveler
	colour bool
	group  string // before names, "a.b."
	rest   string // from WithAttrs, as it is written
}

func newTerminal(out io.Writer, level slog.Leveler, colour bool) *terminal {
	return &terminal{mu: &sync.Mutex{}, out: out, level: level, colour: colour}
}

// Enabled implements slog.Handler.
func (t *terminal) Enabled(_ context.Context, l slog.Level) bool { return l >= t.level.Level() }

// aside is the column where names and values begin, behind short messages.
const aside = 40

// Handle implements slog.Handler.
func (t *terminal) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	b.WriteString(r.Time.Format("15:04:05 "))
	t.paint(&b, levelColour(r.Level), r.Level.String())
	b.WriteString(strings.Repeat(" ", max(6-len(r.Level.String()), 1)))
	b.WriteString(printable(r.Message))
	var rest strings.Builder
	rest.WriteString(t.rest)
	var long []string
	r.Attrs(func(a slog.Attr) bool {
		t.attr(&rest, t.group, a, &long)
		return true
	})
	if rest.Len() > 0 {
		if short := aside - utf8.RuneCountInString(r.Message); short > 0 {
			b.WriteString(strings.Repeat(" ", short))
		}
		b.WriteString(rest.String())
	}
	b.WriteByte('\n')
	for _, text := range long { // a stack
		for line := range strings.Lines(strings.TrimRight(text, "\n") + "\n") {
			b.WriteString("    " + printable(strings.TrimSuffix(line, "\n")) + "\n")
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	_, err := io.WriteString(t.out, b.String())
	return err
}

// attr appends " name=value". Values of many lines go to long, unless it is
// nil.
func (t *terminal) attr(b *strings.Builder, group string, a slog.Attr, long *[]string) {
	v := a.Value.Resolve()
	if v.Kind() == slog.KindGroup {
		if a.Key != "" {
			group += a.Key + "."
		}
		for _, inner := range v.Group() {
			t.attr(b, group, inner, long)
		}
		return
	}
	if a.Equal(slog.Attr{}) {
		return
	}
	text := v.String()
	if long != nil && strings.Contains(text, "\n") {
		*long = append(*long, text)
		return
	}
	b.WriteByte(' ')
	t.paint(b, faint, group+a.Key+"=")
	if text == "" || strings.ContainsFunc(text, func(c rune) bool { return c == ' ' || c == '"' || c == '=' || !unicode.IsPrint(c) }) {
		text = strconv.Quote(text)
	}
	b.WriteString(text)
}

// WithAttrs implements slog.Handler.
func (t *terminal) WithAttrs(list []slog.Attr) slog.Handler {
	var b strings.Builder
	for _, a := range list {
		t.attr(&b, t.group, a, nil)
	}
	with := *t
	with.rest += b.String()
	return &with
}

// WithGroup implements slog.Handler.
func (t *terminal) WithGroup(name string) slog.Handler {
	with := *t
	if name != "" {
		with.group += name + "."
	}
	return &with
}

// Colours as ECMA-48 selects them.
const (
	faint  = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
)

func levelColour(l slog.Level) string {
	switch {
	case l >= slog.LevelError:
		return red
	case l >= slog.LevelWarn:
		return yellow
	case l >= slog.LevelInfo:
		return green
	}
	return faint
}

func (t *terminal) paint(b *strings.Builder, colour, text string) {
	if !t.colour {
		b.WriteString(text)
		return
	}
	b.WriteString("\x1b[" + colour + "m" + text + "\x1b[0m")
}

// printable keeps what comes from outside from steering the terminal.
func printable(s string) string {
	if !strings.ContainsFunc(s, unicode.IsControl) {
		return s
	}
	return strings.Map(func(c rune) rune {
		if unicode.IsControl(c) && c != '\t' {
			return unicode.ReplacementChar
		}
		return c
	}, s)
}
