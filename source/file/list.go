package file

import (
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/naru-mesh/naru/model"
)

// entry is one file to read.
type entry struct {
	path string // as the user would name it
	// named: the user gave this very path; otherwise it was found in a folder
	// or by a glob.
	named bool
	link  bool // is, or may be, a symbolic link
}

// list finds the files of a path, and what is wrong with the path itself.
func list(path string) ([]entry, *model.Problem) {
	if path == stdin {
		return []entry{{path: path, named: true}}, nil
	}
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return listFolder(path)
	case err == nil:
		return []entry{{path: path, named: true, link: true}}, nil
	case strings.ContainsAny(path, "*?["):
		return listGlob(path)
	}
	// Reading it will say what is wrong.
	return []entry{{path: path, named: true, link: true}}, nil
}

func listFolder(path string) ([]entry, *model.Problem) {
	found, err := os.ReadDir(path) // sorted by name
	if err != nil {
		p := unreadable(path, err)
		return nil, &p
	}
	var entries []entry
	for _, f := range found {
		if !wanted(f.Name()) || f.IsDir() {
			continue
		}
		link := f.Type()&fs.ModeSymlink != 0
		name := filepath.Join(path, f.Name())
		if link {
			if info, err := os.Stat(name); err == nil && info.IsDir() {
				continue
			}
		}
		entries = append(entries, entry{path: name, link: link})
	}
	if len(entries) == 0 {
		return nil, nothing(path, "the folder "+path+" holds no *.yaml, *.yml or *.json file")
	}
	return entries, nil
}

func listGlob(path string) ([]entry, *model.Problem) {
	found, err := filepath.Glob(path)
	if err != nil {
		return nil, &model.Problem{
			Origin: model.Origin{Source: path}, Severity: model.Broken, Code: "bad-glob",
			Message: "the pattern " + path + " cannot be understood",
			Hint:    "close every [, and put a \\ before a * or ? that means itself",
		}
	}
	sort.Strings(found)
	var entries []entry
	for _, name := range found {
		if info, err := os.Stat(name); err == nil && info.IsDir() {
			continue
		}
		entries = append(entries, entry{path: name, link: true})
	}
	if len(entries) == 0 {
		return nil, nothing(path, "no file matches "+path)
	}
	return entries, nil
}

func nothing(path, message string) *model.Problem {
	return &model.Problem{
		Origin: model.Origin{Source: path}, Severity: model.Doubtful, Code: "no-files",
		Message: message, Hint: "files are read as soon as they appear",
	}
}

// wanted says whether a name in a folder is of configuration, and not an
// editor's temporary or backup file.
func wanted(name string) bool {
	if strings.HasPrefix(name, ".") {
		return false
	}
	switch filepath.Ext(name) {
	case ".yaml", ".yml", ".json":
		return true
	}
	return false
}

// unreadable makes the Problem of a path that could not be read.
func unreadable(path string, err error) model.Problem {
	p := model.Problem{
		Origin: model.Origin{Source: path}, Severity: model.Broken, Code: "unreadable-file",
		Message: "cannot read " + path + ": " + cause(err),
		Hint:    "it is read as soon as it can be",
	}
	switch {
	case err == errIrregular:
		p.Hint = "name a file, or - for standard input"
	case os.IsNotExist(err):
		p.Code = "missing-file"
		p.Message = "there is no file " + path
		p.Hint = "check the path, or create it: it is read as soon as it appears"
	case os.IsPermission(err):
		p.Message = "no permission to read " + path
		p.Hint = "let the user that naru runs as read it, for example: chmod a+r " + path
	}
	return p
}

// cause is an error without the path that the message names anyway.
func cause(err error) string {
	if e, ok := err.(*fs.PathError); ok {
		return e.Err.Error()
	}
	return err.Error()
}
