// Package short is the dialect for one machine and for the first five
// minutes: a file of ten lines says which requests go where.
//
// # Words
//
// A file has listen, routes, services, and a few settings. A route is a match
// ("GET api.example.com/orders/{id}") and what happens then: a destination, a
// redirect or an answer. form.go has all fields; Schema and Reference say the
// same to editors and to people.
//
// # Life
//
// Parse decodes one document and makes its nouns. Translate joins all short
// documents as if they were one file: a route of one may lead to a service of
// another, and every route stands behind every listener unless it says which.
//
// # Rules
//
// The most specific match wins, as in the Gateway API, and never the order of
// writing: exact hosts before wildcards, then exact paths, templates and long
// prefixes, methods, and more header and query conditions. The order decides
// only between routes that are equally specific: the first wins.
//
// What has a mistake is left out whole: a route whose protection is misspelt
// must not serve without it. A mistake among limits leaves only that limit at
// its default. Words of later versions are mistakes now, and say so.
//
// # Not here
//
// Checks that hold for every dialect (model.Validate), reading files (source).
package short
