package capture

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
)

// A cage is known to the programs by a number, which owns its ports. It is
// written down beside the pins, so that a successor goes on with it.
//
// The number begins with a hash of the name, but a name says nothing about whose
// number it is: users choose names, and a second one of the same 31 bits is found at
// once. With another's number a workload would reach that one's ports past its
// proxy, and take them along when it leaves.

// numberLink is the symbolic link, to no file, that says it.
const numberLink = "number"

// cageNumber is where the number of an escaped name is looked for first: odd.
func cageNumber(name string) uint32 {
	h := fnv.New32a()
	h.Write([]byte(name))
	return h.Sum32() | 1
}

// number is that of a cage that has one.
func (p *programs) number(name string) (uint32, bool) {
	text, err := os.Readlink(filepath.Join(p.folder(name), numberLink))
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseUint(text, 10, 32)
	return uint32(n), err == nil && n&1 == 1
}

// assumed is also that of a cage whose number is not written down, or not yet:
// for what must not be taken from it.
func (p *programs) assumed(name string) uint32 {
	if n, ok := p.number(name); ok {
		return n
	}
	return cageNumber(name)
}

// enroll gives a cage, whose folder is there, the number that it has, or one
// that no other has.
func (p *programs) enroll(name string) (uint32, error) {
	if n, ok := p.number(name); ok {
		return n, nil
	}
	// doorOf of these would be nobody's, and the mesh DNS's.
	used := map[uint32]bool{1: true, namesOwner | 1: true}
	entries, err := os.ReadDir(filepath.Join(p.pins, "w"))
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		if e.Name() != name {
			used[p.assumed(e.Name())] = true
		}
	}
	n := cageNumber(name)
	for used[n] {
		n += 2
	}
	link := filepath.Join(p.folder(name), numberLink)
	if err := os.Remove(link); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	if err := os.Symlink(strconv.FormatUint(uint64(n), 10), link); err != nil {
		return 0, fmt.Errorf("write down its number: %w", err)
	}
	return n, nil
}
