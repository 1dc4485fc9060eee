package http3

// code is an error code of HTTP/3 or QPACK (RFC 9114 section 8.1, RFC 9204
// section 6).
type code uint64

const (
	codeNone            code = 0x100
	codeProtocol        code = 0x101
	codeInternal        code = 0x102
	codeStreamCreation  code = 0x103
	codeClosedCritical  code = 0x104
	codeFrameUnexpected code = 0x105
	codeFrame           code = 0x106
	codeExcessiveLoad   code = 0x107
	codeID              code = 0x108
	codeSettings        code = 0x109
	codeMissingSettings code = 0x10a
	codeRejected        code = 0x10b
	codeCancelled       code = 0x10c
	codeIncomplete      code = 0x10d
	codeMessage         code = 0x10e
	codeConnect         code = 0x10f
	codeDecompression   code = 0x200
	codeEncoderStream   code = 0x201
	codeDecoderStream   code = 0x202
	fine                code = 0 // what functions give that found nothing wrong
)
