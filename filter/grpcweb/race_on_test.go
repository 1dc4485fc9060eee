//go:build race

package grpcweb

const raceOn = true
