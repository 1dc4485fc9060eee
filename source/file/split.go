package file

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"

	"github.com/naru-mesh/naru/source"
)

// Split cuts the text of a file at its lines "---" and "...". A document's
// Data begins with its "---" line where there is one. Parts that hold nothing
// but comments and directives are left out.
func Split(path string, data []byte) []source.Document {
	return split(path, data, nil)
}

// split takes over the sums of documents that are as they were before: most
// of a big file is when one of its objects changes.
func split(path string, data []byte, before []source.Document) []source.Document {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if bytes.IndexByte(data, '\r') >= 0 {
		// YAML takes both for one line break; readers are quicker with one kind.
		data = bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))
	}
	var docs []source.Document
	line, begin, first := 1, 0, 1
	add := func(end int) {
		part := data[begin:end]
		if !says(part) {
			return
		}
		d := source.Document{Path: path, Line: first, Data: part[:len(part):len(part)]}
		if i := len(docs); i < len(before) && before[i].Line == d.Line && bytes.Equal(before[i].Data, d.Data) {
			d.Sum = before[i].Sum
		} else {
			d.Sum = sum(d)
		}
		docs = append(docs, d)
	}
	for at := 0; at < len(data); line++ {
		next := len(data)
		if i := bytes.IndexByte(data[at:], '\n'); i >= 0 {
			next = at + i + 1
		}
		switch text := data[at:next]; {
		case marker(text, "---"):
			add(at)
			begin, first = at, line
		case marker(text, "..."):
			add(at)
			begin, first = next, line+1
		}
		at = next
	}
	add(len(data))
	return docs
}

// marker says whether a line separates documents.
func marker(line []byte, mark string) bool {
	if len(line) < 3 || string(line[:3]) != mark {
		return false
	}
	return len(line) == 3 || line[3] == ' ' || line[3] == '\t' || line[3] == '\n' || line[3] == '\r'
}

// says tells whether a part holds more than comments, directives and its
// marker.
func says(part []byte) bool {
	for len(part) > 0 {
		var line []byte
		line, part, _ = bytes.Cut(part, []byte("\n"))
		if marker(line, "---") {
			line = line[3:]
		} else if len(line) > 0 && line[0] == '%' {
			continue
		}
		if line = bytes.TrimSpace(line); len(line) > 0 && line[0] != '#' {
			return true
		}
	}
	return false
}

func sum(d source.Document) [32]byte {
	h := sha256.New()
	var number [16]byte
	binary.LittleEndian.PutUint64(number[:8], uint64(len(d.Path)))
	binary.LittleEndian.PutUint64(number[8:], uint64(d.Line))
	h.Write(number[:])
	h.Write([]byte(d.Path))
	h.Write(d.Data)
	var s [32]byte
	h.Sum(s[:0])
	return s
}
