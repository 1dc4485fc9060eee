// Package ca is the embedded authority: it signs the SVIDs of a trust domain.
//
// # Words
//
// The record is what all replicas share: the roots and the keys for JWT-SVIDs,
// one value in the store, changed by transactions only. A root is prepared
// (published, signs nothing), active (signs) or retiring (signs nothing, still
// believed). A signer is what one replica signs with: an intermediate that it
// made below the active root, whose key is in its memory alone. Given is an
// authority of somebody else: files.
//
// # Life
//
// New reads the record, or makes the first; of several replicas that start at
// once the first transaction wins and the others read it. Run follows the store
// and takes the steps that are due until its context ends. All else may be
// called from New on.
//
// A rotation: Rotate publishes a new root, prepared. When Acknowledged tells
// that everybody has the bundle, or after Options.Publish, it becomes active and
// the old one retiring, until no certificate below it can be valid any more. A
// step is one transaction that any replica may take, so a crash between two
// changes nothing.
//
// # Rules
//
// Of a request to sign, the public key and that the asker has its private half
// count; names, usages and times in it do not. Who may ask for which identity is
// checked by whoever calls.
//
// A replica that has not reached the store for a day signs no more: it could not
// know that its root retires. Nothing that it signed before is affected.
//
// Private keys are sealed before they go to the store.
//
// # Not here
//
// Fetching federated bundles (identity/federation); proving who asks.
package ca
