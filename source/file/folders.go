package file

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/fsnotify/fsnotify"
)

// folders are the folders in which something can happen that concerns the
// paths of a Source.
type folders struct {
	watcher *fsnotify.Watcher
	watched map[string]os.FileInfo // as they were when the watch was set
	// complete: every folder that should be watched is.
	complete bool

	whole map[string]bool // folders of which every file may count
	names map[string]bool // files, links and folders that count by themselves
	// plain leads from the names in events to identities of files that are
	// themselves in a watched folder, no links.
	plain map[string]string
}

// follow sets the watches that the paths and the files listed for them need
// now, and says whether there were new ones.
func (f *folders) follow(paths []string, lists [][]entry) (fresh bool) {
	want := map[string]bool{}
	f.whole, f.names, f.plain = map[string]bool{}, map[string]bool{}, map[string]string{}
	for _, path := range paths {
		if path == stdin {
			continue
		}
		path = identity(path)
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			f.need(path, want)
			f.need(filepath.Join(path, "x"), want)
			f.folder(path)
			continue
		}
		if strings.ContainsAny(path, "*?[") {
			f.glob(path, want)
			continue
		}
		f.need(path, want)
	}
	for _, entries := range lists {
		for _, e := range entries {
			f.file(e, want)
		}
	}
	f.complete = true
	for dir := range want {
		info, err := os.Stat(dir)
		if err != nil {
			continue // its parent is watched, too
		}
		if was, ok := f.watched[dir]; ok {
			if os.SameFile(was, info) {
				continue
			}
			_ = f.watcher.Remove(dir) // another folder has taken its name
		}
		if err := f.watcher.Add(dir); err != nil {
			f.complete = false
			delete(f.watched, dir)
			continue
		}
		f.watched[dir] = info
		fresh = true
	}
	for dir := range f.watched {
		if !want[dir] {
			_ = f.watcher.Remove(dir) // it may be gone already
			delete(f.watched, dir)
		}
	}
	return fresh
}

// folder notes that all files of a folder count, under its own name and under
// that which links give it.
func (f *folders) folder(path string) {
	f.whole[path] = true
	if real, err := filepath.EvalSymlinks(path); err == nil {
		f.whole[real] = true
	}
}

// glob watches the folders in which names are matched. Patterns in the names
// of folders are followed as they match now.
func (f *folders) glob(pattern string, want map[string]bool) {
	dir := filepath.Dir(pattern)
	dirs := []string{dir}
	for strings.ContainsAny(dir, "*?[") {
		if found, err := filepath.Glob(dir); err == nil {
			dirs = append(dirs, found...)
		}
		dir = filepath.Dir(dir)
		dirs = append(dirs, dir)
	}
	for _, d := range dirs {
		if info, err := os.Stat(d); err == nil && info.IsDir() {
			f.need(filepath.Join(d, "x"), want)
			f.folder(d)
		}
	}
	f.need(filepath.Join(dir, "x"), want)
}

// need walks an absolute path and collects the folders that decide what it
// leads to: its own, the one above (which sees it replaced), and those of the
// symbolic links on the way.
func (f *folders) need(path string, want map[string]bool) {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	at := "/"
	const longest = 40 // links, as in the kernel
	for links := 0; len(parts) > 0; {
		name := filepath.Join(at, parts[0])
		parts = parts[1:]
		if len(parts) < 2 {
			want[at] = true
			f.names[name] = true
		}
		info, err := os.Lstat(name)
		if err != nil { // it may appear
			want[at] = true
			f.names[name] = true
			return
		}
		if info.Mode()&os.ModeSymlink != 0 && links < longest {
			links++
			want[at] = true
			f.names[name] = true
			target, err := os.Readlink(name)
			if err != nil {
				return
			}
			if !filepath.IsAbs(target) {
				target = filepath.Join(at, target)
			}
			parts = append(strings.Split(strings.Trim(filepath.Clean(target), "/"), "/"), parts...)
			at = "/"
			continue
		}
		at = name
	}
}

// file notes the name that events about a file have, and follows a link.
func (f *folders) file(e entry, want map[string]bool) {
	if e.path == stdin {
		return
	}
	id := identity(e.path)
	if e.link {
		info, err := os.Lstat(id)
		if err != nil || info.Mode()&os.ModeSymlink != 0 {
			f.need(id, want)
			return
		}
	}
	f.plain[id] = id
}

// concerns says whether an event may change what is read.
func (f *folders) concerns(e fsnotify.Event) bool {
	if _, ok := f.watched[e.Name]; ok && (e.Has(fsnotify.Remove) || e.Has(fsnotify.Rename)) {
		delete(f.watched, e.Name) // the watch is gone, too
		return true
	}
	if f.names[e.Name] || f.plain[e.Name] != "" {
		return true
	}
	if !f.whole[filepath.Dir(e.Name)] {
		return false
	}
	name := filepath.Base(e.Name)
	// Links and folders have no suffix: "..data" of a ConfigMap.
	return wanted(name) || strings.HasPrefix(name, "..") || filepath.Ext(name) == ""
}
