package wire

// FieldSet is a set of known fields.
type FieldSet uint64

// SetOf makes a set.
func SetOf(ids ...FieldID) (s FieldSet) {
	for _, id := range ids {
		s |= 1 << id
	}
	return s
}

// Has says whether id is in s.
func (s FieldSet) Has(id FieldID) bool { return s>>id&1 != 0 }

// ForbiddenTrailers are fields that must not come after the body: whoever
// merges them into the head would change what was decided by it (RFC 9110
// section 6.5.1). They are dropped, as are all whose name begins with
// "content-".
var ForbiddenTrailers = ^SetOf(OtherField, Date, ServerField, Traceparent, XRequestID)

// DropForbidden leaves in h, a trailer section, what may be there, and says
// whether that is anything.
func DropForbidden(h *Head) (some bool) {
	for i := range h.Fields {
		fl := &h.Fields[i]
		name := h.Name(fl)
		if ForbiddenTrailers.Has(fl.ID) || len(name) > 8 && EqualFold(name[:8], "content-") {
			fl.Dropped = true
		}
		some = some || !fl.Dropped
	}
	return some
}

// Drop drops the fields of drop, which somebody may have added, and gives the
// set of fields that are there. A field that a codec writes by itself must not
// stand twice: two lengths are how messages are split.
func (h *Head) Drop(drop FieldSet) (there FieldSet) {
	for i := range h.Fields {
		f := &h.Fields[i]
		if f.Dropped {
			continue
		}
		if drop.Has(f.ID) {
			f.Dropped, f.Late = true, h.sealed
			continue
		}
		there |= 1 << f.ID
	}
	return there
}
