//go:build race

package secure

// raceOn: sync.Pool drops at random under the race detector, so that counts of
// allocations mean nothing.
const raceOn = true
