package model

import "time"

// Filter is one thing that happens to a request or a response: exactly one
// field is set.
type Filter struct {
	RequestHeaders  *HeaderEdit `json:"requestHeaders,omitempty"`
	ResponseHeaders *HeaderEdit `json:"responseHeaders,omitempty"`
	Redirect        *Redirect   `json:"redirect,omitempty"`
	Rewrite         *Rewrite    `json:"rewrite,omitempty"`
	Respond         *Respond    `json:"respond,omitempty"`
	Mirror          *Mirror     `json:"mirror,omitempty"`
	CORS            *CORS       `json:"cors,omitempty"`
	GRPCWeb         *GRPCWeb    `json:"grpcWeb,omitempty"`
	Transcode       *Transcode  `json:"transcode,omitempty"`
	Fault           *Fault      `json:"fault,omitempty"`
}

// Field is a header name and value.
type Field struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// HeaderEdit sets (replaces), adds (appends a line) and removes, in the order
// set, add, remove. Each name appears once.
type HeaderEdit struct {
	Set    []Field  `json:"set,omitempty"`
	Add    []Field  `json:"add,omitempty"`
	Remove []string `json:"remove,omitempty"`
}

// PathEdit changes a path: the whole, or the prefix that the match had.
type PathEdit struct {
	// Full replaces the whole path; it may name captures of a path template
	// as {name}.
	Full *string `json:"full,omitempty"`
	// Prefix replaces the matched prefix. Slashes are kept in order:
	// match /a, replace with /b/: /a/c becomes /b/c; replace with "": /c.
	Prefix *string `json:"prefix,omitempty"`
}

// Redirect answers with a Location; what is not set is taken from the request.
type Redirect struct {
	Scheme   string    `json:"scheme,omitempty"` // "http" or "https"
	Hostname string    `json:"hostname,omitempty"`
	Port     uint16    `json:"port,omitempty"` // 0: well-known port of Scheme if set, else the listener's
	Path     *PathEdit `json:"path,omitempty"`
	Status   int       `json:"status"` // 301, 302, 303, 307, 308
}

// Rewrite changes what the backend sees.
type Rewrite struct {
	Hostname string    `json:"hostname,omitempty"`
	Path     *PathEdit `json:"path,omitempty"`
}

// Respond answers without a backend.
type Respond struct {
	Status  int     `json:"status"`
	Headers []Field `json:"headers,omitempty"`
	Body    string  `json:"body,omitempty"`
}

// Mirror sends a copy of the request elsewhere and ignores the answer.
type Mirror struct {
	Service string `json:"service"`
	// Numerator of Denominator requests are copied; 0/0 means all.
	Numerator   int `json:"numerator,omitempty"`
	Denominator int `json:"denominator,omitempty"`
}

// GRPCWeb lets pages call a gRPC service. Other requests pass as they are.
type GRPCWeb struct{}

// Transcode lets clients call a gRPC service with JSON over HTTP, by the
// google.api.http rules of its methods. Requests that are gRPC already pass as
// they are; others for which no method has a rule get 404.
type Transcode struct {
	// Descriptors is a file that protoc wrote with --descriptor_set_out and
	// --include_imports. It is read when a Program is built, and again when it
	// changes.
	Descriptors string `json:"descriptors"`
	// Services are full names ("shop.v1.Orders"); none: all of the file.
	Services []string `json:"services,omitempty"`
	// Auto maps POST /pkg.Service/Method for methods that have no rule.
	Auto bool `json:"auto,omitempty"`
	// MaxBytes bounds a message, as JSON and as protobuf. 0 is
	// DefaultTranscodeBytes.
	MaxBytes int64 `json:"maxBytes,omitempty"`
}

// DefaultTranscodeBytes is Transcode.MaxBytes where nothing is said: what gRPC
// servers take by default.
const DefaultTranscodeBytes = 4 << 20

// CORS answers preflights and marks responses (Fetch standard).
type CORS struct {
	// Origins are "*", exact ("https://a.example") or with one wildcard label
	// ("https://*.example").
	Origins       []string      `json:"origins"`
	Methods       []string      `json:"methods,omitempty"` // "*" is any
	Headers       []string      `json:"headers,omitempty"` // "*" is any
	ExposeHeaders []string      `json:"exposeHeaders,omitempty"`
	Credentials   bool          `json:"credentials,omitempty"`
	MaxAge        time.Duration `json:"maxAge,omitempty"` // 0 is 5 s, as browsers do
}
