// Package cli is the command line.
//
// # Rules
//
// Results go to standard output and messages to standard error. A command that
// succeeds prints what was asked and nothing else. --json gives the same for
// machines. Exit status: 0 done; 1 it failed, or the configuration has
// mistakes; 2 the command line is wrong; 130 a second Ctrl-C has ended it.
package cli
