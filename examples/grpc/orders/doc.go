// Package orders is the example's gRPC service: what protoc makes of
// orders.proto.
package orders
