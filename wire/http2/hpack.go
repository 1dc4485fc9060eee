package http2

// HPACK (RFC 7541), as a push machine without a clock and, once its tables are
// warm, without an allocation. What is decoded is lent to a fieldSink; what is
// encoded is appended to the caller's buffer.

// fieldSink takes the fields of a header block in order. name and value are
// lent until field returns and must not be written to. never says that the
// field came as "never indexed" (RFC 7541 section 6.2.3) and must be passed on
// in the same way. A sink that returns false wants no more fields: decoding
// goes on, because the table must stay in step with the peer's, but nothing
// more is told.
type fieldSink interface {
	field(name, value []byte, never bool) (more bool)
}
