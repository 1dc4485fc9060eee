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

// split takes over documents that are as they were before: most of a big file
// is when one of its objects changes.
func split(path string, data []byte, before []source.Document) []source.Document {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if bytes.IndexByte(data, '\r') >= 0 {
		// YAML takes both for one line break; readers are quicker with one kind.
		data = bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))
	}
	docs := make([]source.Document, 0, len(before)+1)
	line, begin, first := 1, 0, 1
	add := func(end int) {
		part := data[begin:end]
		if !says(part) {
			return
		}
		docs = append(docs, source.Document{Path: path, Line: first, Data: part[:len(part):len(part)]})
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
	takeOver(docs, before)
	return docs
}

// takeOver gives docs the text and the sums of equal documents of before,
// counted from the front or from the end. What is new gets a text of its own
// there: as a part of data it would keep the whole of it in memory, a file for
// each change.
func takeOver(docs, before []source.Document) {
	shift := len(before) - len(docs)
	var text []byte
	for i := range docs {
		d := &docs[i]
		own := len(before) > 0
		for _, j := range [...]int{i, i + shift} {
			if j < 0 || j >= len(before) || !bytes.Equal(before[j].Data, d.Data) {
				continue
			}
			d.Data, own = before[j].Data, false
			if before[j].Line == d.Line && before[j].Path == d.Path {
				d.Sum = before[j].Sum
				break
			}
		}
		if own {
			d.Data = bytes.Clone(d.Data)
		}
		if d.Sum == [32]byte{} {
			d.Sum = sum(d, &text)
		}
	}
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

// sum hashes a document; text is for its use, and longer afterwards.
func sum(d *source.Document, text *[]byte) [32]byte {
	b := binary.LittleEndian.AppendUint64((*text)[:0], uint64(len(d.Path)))
	b = binary.LittleEndian.AppendUint64(b, uint64(d.Line))
	b = append(b, d.Path...)
	b = append(b, d.Data...)
	*text = b
	return sha256.Sum256(b)
}
