// Package federation exchanges bundles with other trust domains, by the SPIFFE
// bundle endpoint: it serves ours, and follows theirs.
//
// # Words
//
// A Domain is a trust domain that is followed, with where its endpoint is and
// how that proves to be the right one: by a certificate of the web
// (https_web), or by an SVID of the trust domain itself (https_spiffe), for
// which a first bundle must be known. A Keeper follows those that a configuration
// names, and has an authority keep what they give.
//
// # Life
//
// Handler is served on a listener that the caller makes. Follow makes a
// Follower of one Domain; Run asks its endpoint as often as its bundle says,
// tells each new one, and ends with its context.
//
// # Rules
//
// What an endpoint gives speaks for the trust domain that it was asked for and
// for no other, and is never merged with another's (SPIFFE Federation, section
// 4). An endpoint that is away changes nothing: the last bundle stays. A bundle
// of an older sequence is not taken.
//
// A trust domain that the configuration does not name any more is not believed
// any more.
//
// Redirections are not followed: the profile vouches for one endpoint only.
//
// # Not here
//
// Keeping the bundles (identity/ca), judging by them (identity). The fetching
// of go-spiffe is not used: it bounds neither the size of what it reads nor the
// status, and follows redirections.
package federation
