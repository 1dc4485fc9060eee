// Package rollout moves requests to a new version step by step while it does as
// well as the old one, and back when it does not.
//
// # Words
//
// The canary is the new version (Rollout.To), the baseline are the services that
// served before. A State is how far a rollout is, and why; it is what the store
// keeps. Counts are how the requests of both went. A run is one attempt: with
// another spec, or when somebody begins anew, there is another one, whose counts
// begin at nothing.
//
// # Life
//
// An Engine is one rollout: Tick takes the time and the counts, Do what somebody
// wants; both change its State and nothing else. A Keeper holds the Engines of a
// process. It is a model.Feed: it takes the Snapshots of control and gives them
// with the weights of now. Where several control planes share a store, one leads
// and ticks; all go by what the store says.
//
// # How it is judged
//
// Failures are judged by Page's cumulative sums (Biometrika 41, 1954): each request
// adds the logarithm of how much more likely its outcome is for a version that
// fails more often than is allowed than for one that fails just as often as
// allowed, and the sum never falls below nothing. So it begins anew with each
// request that is as it should be, and a version that breaks after a month is
// found as soon as one that never worked. Three such sums look for twice, five
// times and any number of failures. A sum of ln 100,000 convicts: of a version
// that is just good enough, one in 100,000 requests would.
//
// Who is convicted is compared with the baseline over the same requests, those
// since its sum last was nothing: where that fails as often (their Wilson
// intervals meet), what is wrong is not the new version. Latency is judged alike:
// a request slower than the bound is one that failed.
//
// # Rules
//
// What is not known does not go on: without State the baseline gets everything,
// with too few requests a step waits, and in the end it is rolled back. A rollout
// that is over stays so until its spec changes or somebody says so. A paused one is
// still rolled back. No time but what is given; the Keeper alone has goroutines.
//
// # Not here
//
// Counting (observe, proxy), bringing counts here from other machines (link, app),
// what weights do (proxy).
package rollout
