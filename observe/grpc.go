package observe

// GRPCCode is a gRPC status code.
type GRPCCode uint8

const (
	GRPCOK GRPCCode = iota
	GRPCCancelled
	GRPCUnknown
	GRPCInvalidArgument
	GRPCDeadlineExceeded
	GRPCNotFound
	GRPCAlreadyExists
	GRPCPermissionDenied
	GRPCResourceExhausted
	GRPCFailedPrecondition
	GRPCAborted
	GRPCOutOfRange
	GRPCUnimplemented
	GRPCInternal
	GRPCUnavailable
	GRPCDataLoss
	GRPCUnauthenticated

	// GRPCCodes is the number of codes; arrays are indexed by GRPCCode.
	GRPCCodes
)

var grpcNames = [GRPCCodes]string{
	"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
	"PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
	"INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
}

// String gives the code's name, such as "UNAVAILABLE". A number without a name
// is UNKNOWN, as the specification has it.
func (c GRPCCode) String() string {
	if c >= GRPCCodes {
		c = GRPCUnknown
	}
	return grpcNames[c]
}

// GRPCCodeByName finds a code by its name, in upper or lower case, with "_" or
// "-" between words: "UNAVAILABLE", "resource-exhausted". "canceled" is how the
// libraries of some languages spell one.
func GRPCCodeByName(name string) (GRPCCode, bool) {
	if name == "canceled" {
		return GRPCCancelled, true
	}
	for c, known := range grpcNames {
		if sameWords(known, name) {
			return GRPCCode(c), true
		}
	}
	return GRPCUnknown, false
}

func sameWords(known, name string) bool {
	if len(known) != len(name) {
		return false
	}
	for i := range len(name) {
		c := name[i]
		switch {
		case c == '-':
			c = '_'
		case 'a' <= c && c <= 'z':
			c -= 'a' - 'A'
		}
		if c != known[i] {
			return false
		}
	}
	return true
}

// GRPCCodeOf gives the code that stands for the status of an HTTP response
// without one (gRPC, "HTTP to gRPC Status Code Mapping").
func GRPCCodeOf(status int) GRPCCode {
	switch status {
	case 400:
		return GRPCInternal
	case 401:
		return GRPCUnauthenticated
	case 403:
		return GRPCPermissionDenied
	case 404:
		return GRPCUnimplemented
	case 429, 502, 503, 504:
		return GRPCUnavailable
	}
	return GRPCUnknown
}

// GRPC gives the code that a client which speaks gRPC gets for r: that of the
// HTTP status, but where naru knows better than the status can say.
func (r Reason) GRPC() GRPCCode {
	switch r {
	case RequestTimeout, StreamTimeout:
		return GRPCDeadlineExceeded // which clients do not try again, as they do after UNAVAILABLE
	case ShapeFull, URITooLong, HeadTooLarge, TooManyFields, BodyTooLarge:
		return GRPCResourceExhausted
	case BadMessage:
		return GRPCInvalidArgument
	case ClientGone, WriteTimeout:
		return GRPCCancelled
	case Internal, NoBackend, InvalidBackend, InvalidFilter:
		return GRPCInternal
	}
	return GRPCCodeOf(r.Info().Status)
}
