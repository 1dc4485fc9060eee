// Package testkit has what tests of several rooms need: fakes that keep a
// contract in memory, with faults to order.
//
// # Words
//
// A Memory is a store.Store without a disk.
//
// # Life
//
// The test makes it and gives it to the room under test.
//
// # Rules
//
// A fake keeps its contract to the letter, but for what it says it does not do.
//
// # Not here
//
// Fakes that one room alone needs: they stand in its own tests.
package testkit
