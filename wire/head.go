package wire

// Head is the head of a request or a response: the control data and the
// fields. It is the same for every protocol: each codec stores the fields as
// HTTP/1 lines in Buf, so that a run of fields that nobody touched is passed
// on with one copy, and no field is ever a string.
//
// All slices point into Buf or into memory that outlives the exchange; they
// are valid until Reset. Editing appends to Buf and marks what it replaces as
// dropped; nothing is moved.
type Head struct {
	// Method, Path, Query and Authority are a request's. Path begins with "/"
	// (or is "*"), Query is what follows the "?" (HasQuery says whether there
	// was one), Authority is the Host, as sent. Fields has no Host line.
	Method    []byte
	Path      []byte
	Query     []byte
	HasQuery  bool
	Authority []byte
	// Status is a response's. Reason phrases are not carried.
	Status int
	// Length is the body's length; 0 no body, -1 unknown in advance. Fields
	// keep a message's Content-Length line out: codecs write it from Length. The
	// exception is a response to HEAD and a 304, whose Content-Length line
	// describes a body that is not there: it stays in Fields, and Length is 0.
	Length int64
	// Minor is the HTTP/1 minor version the message came with; 2 or 3 for
	// HTTP/2 and HTTP/3.
	Minor uint8
	// sealed: the first sealedAt of Fields are those that were there then.
	sealed   bool
	sealedAt uint32
	// Fields in order of arrival; the dropped ones too.
	Fields []Field
	// Buf holds each field line as "Name: value\r\n".
	Buf []byte
	// seen has a bit for each FieldID that a line was ever appended with, so
	// that asking for a field that is not there costs no search.
	seen uint64
}

// Field is one field line by its place in Head.Buf: the name is
// Buf[Start:NameEnd], the value Buf[ValueStart:ValueEnd] (without surrounding
// blanks), and the line ends (CRLF included) at End.
type Field struct {
	Start, NameEnd, ValueStart, ValueEnd, End uint32
	ID                                        FieldID
	// Dropped fields are not there any more; Late says that they were when the
	// head was sealed.
	Dropped, Late bool
	// Never: the field must not enter a compression table, here or further on
	// (RFC 7541 section 6.2.3).
	Never bool
}

// Reset forgets everything and keeps the memory, unless it grew very large.
func (h *Head) Reset() {
	buf, fields := h.Buf[:0], h.Fields[:0]
	if cap(buf) > 64<<10 {
		buf = nil
	}
	*h = Head{Buf: buf, Fields: fields}
}

// Name and Value of a field of h; lent until Reset.
func (h *Head) Name(f *Field) []byte  { return h.Buf[f.Start:f.NameEnd] }
func (h *Head) Value(f *Field) []byte { return h.Buf[f.ValueStart:f.ValueEnd] }

// Find gives the first field named by a known id from position i on, or nil.
func (h *Head) find(id FieldID, name string, i int) int {
	if h.seen>>id&1 == 0 {
		return -1
	}
	for ; i < len(h.Fields); i++ {
		f := &h.Fields[i]
		if f.ID != id || f.Dropped {
			continue
		}
		if id != OtherField || EqualFold(h.Buf[f.Start:f.NameEnd], name) {
			return i
		}
	}
	return -1
}

// Key names a field: its id when it is a known one, and its lower-case name.
// Make keys when configuration is compiled, with KeyOf, not on the request
// path.
type Key struct {
	ID   FieldID
	Name string // lower case, as compared
	Wire string // as written on the wire
}

// KeyOf makes the Key of a field name.
func KeyOf(name string) Key {
	return Key{ID: LookupField([]byte(name)), Name: lowerString(name), Wire: name}
}

// Has says whether the field is there.
func (h *Head) Has(k Key) bool { return h.find(k.ID, k.Name, 0) >= 0 }

// Get gives the first value of the field. ok is false where there is none.
func (h *Head) Get(k Key) (v []byte, ok bool) {
	if i := h.find(k.ID, k.Name, 0); i >= 0 {
		return h.Value(&h.Fields[i]), true
	}
	return nil, false
}

// Next gives the index in Fields of the next line of k at or after from, or
// -1: for i := h.Next(k, 0); i >= 0; i = h.Next(k, i+1) { ... }
func (h *Head) Next(k Key, from int) int { return h.find(k.ID, k.Name, from) }

// Joined gives all values of the field joined by ", " (RFC 9110 section 5.3).
// One line is given without a copy; several are appended to tmp.
func (h *Head) Joined(k Key, tmp []byte) (v []byte, ok bool) {
	i := h.find(k.ID, k.Name, 0)
	if i < 0 {
		return nil, false
	}
	j := h.find(k.ID, k.Name, i+1)
	if j < 0 {
		return h.Value(&h.Fields[i]), true
	}
	tmp = append(tmp[:0], h.Value(&h.Fields[i])...)
	for ; j >= 0; j = h.find(k.ID, k.Name, j+1) {
		tmp = append(tmp, ", "...)
		tmp = append(tmp, h.Value(&h.Fields[j])...)
	}
	return tmp, true
}

// Remove drops all lines of the field and says whether there were any.
func (h *Head) Remove(k Key) bool {
	i := h.find(k.ID, k.Name, 0)
	for j := i; j >= 0; j = h.find(k.ID, k.Name, j+1) {
		h.Fields[j].Dropped, h.Fields[j].Late = true, h.sealed
	}
	return i >= 0
}

// Add appends a field line. The value must be valid (ValidValue): it is
// written as it is. value may point into h.Buf.
func (h *Head) Add(k Key, value []byte) {
	start := uint32(len(h.Buf))
	h.Buf = append(h.Buf, k.Wire...)
	h.Buf = append(h.Buf, ": "...)
	h.addValue(k.ID, start, start+uint32(len(k.Wire)), value)
}

// AddString is Add for a string.
func (h *Head) AddString(k Key, value string) {
	start := uint32(len(h.Buf))
	h.Buf = append(h.Buf, k.Wire...)
	h.Buf = append(h.Buf, ": "...)
	vs := uint32(len(h.Buf))
	h.Buf = append(h.Buf, value...)
	h.endField(k.ID, start, start+uint32(len(k.Wire)), vs)
}

// AddRaw appends a field line whose name comes as bytes: for codecs.
func (h *Head) AddRaw(name, value []byte) {
	start := uint32(len(h.Buf))
	h.Buf = append(h.Buf, name...)
	h.Buf = append(h.Buf, ": "...)
	h.addValue(LookupField(name), start, start+uint32(len(name)), value)
}

func (h *Head) addValue(id FieldID, start, nameEnd uint32, value []byte) {
	vs := uint32(len(h.Buf))
	h.Buf = append(h.Buf, value...)
	h.endField(id, start, nameEnd, vs)
}

func (h *Head) endField(id FieldID, start, nameEnd, vs uint32) {
	ve := uint32(len(h.Buf))
	h.Buf = append(h.Buf, "\r\n"...)
	h.AppendLine(id, start, nameEnd, vs, ve, ve+2)
}

// AppendLine appends a field by its place in Buf, for codecs that fill Buf by
// themselves; the arguments are those of Field. It is how every Field comes
// into Fields.
func (h *Head) AppendLine(id FieldID, start, nameEnd, valueStart, valueEnd, end uint32) {
	n := len(h.Fields)
	if n == cap(h.Fields) {
		h.Fields = append(h.Fields, Field{})
	} else {
		h.Fields = h.Fields[:n+1]
	}
	// Component by component: a Field put together elsewhere and copied would
	// wait for the stores that made it.
	f := &h.Fields[n]
	f.Start, f.NameEnd, f.ValueStart, f.ValueEnd, f.End = start, nameEnd, valueStart, valueEnd, end
	f.ID, f.Dropped, f.Late, f.Never = id, false, false, false
	h.seen |= 1 << id
}

// Set replaces all lines of the field by one.
func (h *Head) Set(k Key, value []byte) {
	h.Remove(k)
	h.Add(k, value)
}

// SetString is Set for a string.
func (h *Head) SetString(k Key, value string) {
	h.Remove(k)
	h.AddString(k, value)
}

// Keep copies b into the head's memory, so that it lives as long as the head.
func (h *Head) Keep(b []byte) []byte {
	// It lies in Buf between field lines, where no Field points: runs end
	// before it.
	n := len(h.Buf)
	h.Buf = append(h.Buf, b...)
	return h.Buf[n:len(h.Buf):len(h.Buf)]
}

// AppendFields appends all field lines that are there to out; neighbours are
// copied as one run.
func (h *Head) AppendFields(out []byte) []byte {
	var from, to uint32
	for i := range h.Fields {
		f := &h.Fields[i]
		if f.Dropped {
			continue
		}
		if f.Start != to {
			out = append(out, h.Buf[from:to]...)
			from = f.Start
		}
		to = f.End
	}
	return append(out, h.Buf[from:to]...)
}

// CopyFrom makes h an independent copy of src.
func (h *Head) CopyFrom(src *Head) {
	h.Reset()
	buf, fields := h.Buf, h.Fields
	*h = *src
	h.Buf = append(buf, src.Buf...)
	h.Fields = append(fields, src.Fields...)
	h.Method = h.Keep(src.Method)
	h.Path = h.Keep(src.Path)
	h.Query = h.Keep(src.Query)
	h.Authority = h.Keep(src.Authority)
}

// Seal remembers which fields are there now: CopySealed gives them.
func (h *Head) Seal() { h.sealed, h.sealedAt = true, uint32(len(h.Fields)) }

// CopySealed makes h an independent copy of src with the fields that it had
// when it was sealed; all of them where it never was.
func (h *Head) CopySealed(src *Head) {
	h.CopyFrom(src)
	if !src.sealed {
		return
	}
	h.sealed = false
	h.Fields = h.Fields[:src.sealedAt]
	for i := range h.Fields {
		if f := &h.Fields[i]; f.Late {
			f.Dropped, f.Late = false, false
		}
	}
}
