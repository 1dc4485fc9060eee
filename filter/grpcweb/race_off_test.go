//go:build !race

package grpcweb

const raceOn = false
