// Package acme gets certificates from authorities that speak ACME (RFC 8555),
// with github.com/caddyserver/certmagic: orders, renewals, OCSP responses,
// back-off, rate limits and storage are its.
//
// # Words
//
// A Manager is the identity.Issuer. An authority is one account at one
// directory with one storage; Wants that agree on these share it. A held name
// is one that an authority keeps a certificate for; other names are got on
// demand, when a client asks for them. A flight is one such order, which all
// clients of the name wait for. A trouble is why a name has no new certificate.
//
// # Life
//
// Follow makes authorities and gives them their names; each name is ordered in
// the background, and certmagic tries again until it has it (after a minute,
// then less and less often). Its maintenance renews held names when a third of
// a certificate's life is left. Names on demand are renewed when somebody asks
// for them in that time. Authorities end when no Want is left for them, and
// with Close.
//
// # Rules
//
// A name is proved by HTTP-01 or TLS-ALPN-01, on whatever listener the
// authority reaches; what is to be answered is kept in memory. This package
// opens no port that others can reach.
//
// On demand means by strangers: a name must be allowed by a pattern, by the
// URL that is asked, or by both where both are configured. What was refused or
// failed is not tried again for a while, and few flights run at a time.
//
// # Not here
//
// DNS-01, external account binding, storage that several machines share.
package acme
