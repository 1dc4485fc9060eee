// Package route finds the rule for a request: by host, path, method, headers,
// query and cookies, in the precedence of the Gateway API.
//
// # Words
//
// An Entry is one match of one rule on one listener. A Table is all entries of
// a listener, compiled. A Hit is what Find found. Hosts maps host names, exact
// and wildcard, to values: the proxy chooses the listener of a port with it.
//
// # Life
//
// A Table is built once for a Program, never changes, and is shared by all
// loops. A Hit belongs to one loop, or to one exchange, and is used again.
//
// # Rules
//
// Of all entries that match, the winner is the one that is first by
//
//  1. host: exact, then the wildcard with most characters, then any;
//  2. path: exact, then most literal characters. A prefix counts its
//     characters without a trailing slash, a template the characters outside
//     its captures, a regex the literal text that it begins with. With as many:
//     template, template with a rest, regex, prefix, so that a regex can win
//     beside a catch-all;
//  3. method: set before not set;
//  4. number of header matches, then of query matches, then of cookie matches;
//  5. Order: created, name, index; then position among the entries.
//
// An entry whose path matches but whose method, header, query or cookie does
// not is passed over and the next one tried, on less specific hosts too: hosts
// have precedence, they do not isolate.
//
// A lookup takes one step a path segment, whatever the number of entries.
// What is linear: entries that share a path (told apart by method or fields),
// and regexes below the same literal segments, which are tried in turn.
//
// A Find allocates nothing. Paths are compared as Normalize gives them.
//
// # Not here
//
// What a rule does (filter), where it leads (upstream), and which hostnames a
// certificate covers (wire/secure).
package route
