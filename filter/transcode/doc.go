// Package transcode lets clients call a gRPC service with JSON over HTTP, by
// the google.api.http rules of its methods.
//
// # Words
//
// A mapping is what a descriptor set says: rules, each an HTTP method and a
// path template that stand for a gRPC method. A call is one exchange that is
// being translated: the Body of its request and of its response.
//
// # Life
//
// A mapping is made when a filter is built. Descriptors knows the filters that
// live; Look, called now and then by whoever owns it, reads changed files again
// and gives the filters the new mapping. What does not load leaves the old one
// in force and is told by Problems. A call keeps the mapping it began with.
//
// # Rules
//
// Which rule: literals before *, * before **, in each segment from the left.
// The request message is made of the body, then the path, then the query; what
// fits no field is an error, and so is a field that is given twice. A message
// is kept as a whole, within a bound; a stream of them is not.
//
// This filter allocates: JSON and protobuf are translated with reflection.
//
// # Not here
//
// HTTP/2 and its trailers (wire/http2), time-outs and retries (proxy). Methods
// with a stream of requests have no place in JSON over HTTP and are not mapped.
package transcode
