// Package file takes configuration from files, folders and standard input,
// and notices when they change.
//
// # Words
//
// A path is what the user named: a file, a folder (all *.yaml, *.yml and
// *.json in it, sorted by name, without what begins with a dot and without
// deeper folders), a glob ("conf/*.yaml"), or "-" for standard input, which is
// read once. Files come in the order of the paths; a file that two paths name
// comes once.
//
// # Life
//
// New, then Watch in a goroutine of the caller's, until its context ends. Read
// is for those who want to look only once.
//
// # Rules
//
// Watching is of folders, never of files, so that every way of saving is seen:
// writing in place, a temporary file renamed over the old one, delete and
// create, a symbolic link that is pointed elsewhere (as Kubernetes does with a
// ConfigMap). A change is believed after 8 ms without another, or 100 ms after
// its beginning. Without inotify the files are looked at every second.
//
// What cannot be read is a Problem with its path. A file that was named and
// then vanishes or becomes unreadable keeps its last content, with a warning,
// until it is back or naru is started anew, and so does one that is suddenly
// empty, as a full disk leaves it: losing a file must not stop traffic, nor
// take policies away. A file that vanishes from a folder or a glob was taken away on
// purpose: 250 ms later its documents are gone.
//
// # Not here
//
// What the documents say (dialect).
package file
