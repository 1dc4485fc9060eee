package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// Exit statuses of exec where the command did not run, as shells have them
// (POSIX.1-2024, Shell Command Language, 2.8.2).
const (
	exitCannotRun = 126 // it is there, and cannot be run
	exitNotFound  = 127
)

// ending is a failure with an exit status of its own.
type ending struct {
	status int
	err    error
}

func (e ending) Error() string { return e.err.Error() }
func (e ending) Unwrap() error { return e.err }

// findCommand gives the file of a command: by PATH where its name has no slash.
func findCommand(name string) (string, error) {
	path, err := exec.LookPath(name)
	switch {
	case err == nil:
		return path, nil
	case errors.Is(err, exec.ErrDot):
		// execvp(3) would take it; whoever can write to the folder would choose the
		// command.
		return "", ending{exitCannotRun, fmt.Errorf("exec: %s is found in the current folder alone, which PATH names; no command is taken from there: write ./%s", name, name)}
	case strings.Contains(name, "/"):
		return "", unusable(name, err)
	}
	for _, folder := range filepath.SplitList(os.Getenv("PATH")) {
		at := filepath.Join(folder, name)
		if info, err := os.Stat(at); err == nil && info.Mode().IsRegular() {
			return "", unusable(at, fs.ErrPermission)
		}
	}
	return "", ending{exitNotFound, fmt.Errorf("exec: %s: command not found (in PATH=%s)", name, os.Getenv("PATH"))}
}

// unusable says why a file is no command.
func unusable(path string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return ending{exitNotFound, fmt.Errorf("exec: %s: command not found: there is no such file", path)}
	case errors.Is(err, syscall.EISDIR):
		return ending{exitCannotRun, fmt.Errorf("exec: %s is a folder", path)}
	case errors.Is(err, fs.ErrPermission):
		return ending{exitCannotRun, fmt.Errorf("exec: %s is there, and may not be run: it is not executable for this user (chmod +x), or a folder on the way is closed to him", path)}
	}
	return ending{exitCannotRun, fmt.Errorf("exec: %w", err)}
}

// unstarted says why a command that was found did not start.
func unstarted(path string, err error) error {
	var of *fs.PathError
	if !errors.As(err, &of) || of.Op != "fork/exec" {
		return fmt.Errorf("exec: %w", err) // it was not come to that
	}
	switch {
	case errors.Is(err, syscall.ENOENT):
		err = fmt.Errorf("exec: %s is there, and what runs it is not: the program that its first line names (#!), or its dynamic loader", path)
	case errors.Is(err, syscall.ENOEXEC):
		err = fmt.Errorf("exec: %s is no program of this machine: a script begins with #! and what runs it, a program is made for this processor", path)
	case errors.Is(err, syscall.EACCES):
		err = fmt.Errorf("exec: %s may not be run: it, or what its first line names, is not executable for this user, or it is on a file system that is mounted noexec", path)
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.ENOMEM):
		return fmt.Errorf("exec: %w", err) // which is not because of the command
	default:
		err = fmt.Errorf("exec: %w", err)
	}
	return ending{exitCannotRun, err}
}
