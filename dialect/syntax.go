package dialect

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/naru-mesh/naru/model"
)

var errorLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)

// syntaxProblem says in plain words what the YAML library complains about, or
// what was doubted before where that explains it: the library often names the
// line where a mapping begins and not the one that breaks it.
func syntaxProblem(d *Document, err error, doubt *doubt) model.Problem {
	line, column, message := 1, 0, err.Error()
	if m := errorLine.FindStringSubmatch(strings.SplitN(message, "\n", 2)[0]); m != nil {
		message = m[2]
		if m[1] != "" {
			line, _ = strconv.Atoi(m[1])
			if parserComplaints.MatchString(message) {
				line++
			}
		}
	}
	hint := ""
	for _, known := range syntaxHints {
		if strings.Contains(message, known.contains) {
			message, hint = known.message, known.hint
			break
		}
	}
	if doubt != nil && strings.Contains(err.Error(), doubt.when) {
		line, column, message, hint = doubt.line, doubt.column, doubt.message, doubt.hint
	}
	return model.Problem{
		Origin:   d.place(line, column, ""),
		Severity: model.Broken,
		Code:     "syntax",
		Message:  message,
		Hint:     hint,
	}
}

// parserComplaints are those for which the library counts lines from 0.
var parserComplaints = regexp.MustCompile(`did not find expected (key|'|node content|<document start>)`)

var syntaxHints = []struct{ contains, message, hint string }{
	{"mapping values are not allowed", "a colon stands where no value can be", "check the indentation, and put text that holds \": \" in quotes"},
	{"could not find expected ':'", "a colon is missing after a name", "write \"name: value\", and indent what belongs below it"},
	{"did not find expected key", "the indentation does not fit the lines above", indentHint},
	{"did not find expected '-' indicator", "an item of the list does not begin with -", "items of a list begin with \"- \" in the same column"},
	{"cannot start any token", "a character stands where no value can begin with it", "put the value in quotes"},
	{"unexpected end of stream", "the text ends inside quotes", "close the quotes"},
	{"did not find expected ',' or ']'", "a list in brackets is not closed, or a comma is missing", "write [a, b]"},
	{"did not find expected ',' or '}'", "a mapping in braces is not closed, or a comma is missing", "write {a: 1, b: 2}, and put text that holds ? , [ ] { or } in quotes"},
	{"unknown anchor", "an alias (*name) refers to nothing", "text that begins with * must be in quotes"},
	{"did not find expected alphabetic or numeric", "a name must follow * or &", "text that begins with * or & must be in quotes"},
	{"unknown escape character", "the text in double quotes holds an unknown \\ escape", "use single quotes: they know no escapes"},
	{"control characters are not allowed", "the text holds a control character", "write it as an escape in double quotes, such as \"\\t\""},
	{"invalid leading UTF-8 octet", "the file is not UTF-8", "save it as UTF-8"},
	{"incomplete UTF-8", "the file is not UTF-8", "save it as UTF-8"},
	{"invalid trailing UTF-8", "the file is not UTF-8", "save it as UTF-8"},
	{"exceeded max depth", "too many levels inside each other", ""},
}
