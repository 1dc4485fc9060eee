//go:build race

package authz

// raceDetector changes what allocates.
const raceDetector = true
