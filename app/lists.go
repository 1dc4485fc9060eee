package app

import (
	"github.com/naru-mesh/naru/dialect"
	"github.com/naru-mesh/naru/dialect/gatewayapi"
	"github.com/naru-mesh/naru/dialect/native"
	"github.com/naru-mesh/naru/dialect/short"
	"github.com/naru-mesh/naru/filter"
	"github.com/naru-mesh/naru/filter/authz"
	"github.com/naru-mesh/naru/filter/cors"
	"github.com/naru-mesh/naru/filter/fault"
	"github.com/naru-mesh/naru/filter/grpcweb"
	"github.com/naru-mesh/naru/filter/headers"
	"github.com/naru-mesh/naru/filter/redirect"
	"github.com/naru-mesh/naru/filter/respond"
	"github.com/naru-mesh/naru/filter/rewrite"
	"github.com/naru-mesh/naru/filter/transcode"
)

// Dialects are asked in this order whether a document is theirs. The full form
// comes first: it is known by its apiVersion, which no other dialect has.
// Expressions are checked where they are read, for check and run alike.
func Dialects() []dialect.Dialect {
	words, kinds, full := short.New(), native.New(), gatewayapi.New()
	words.CEL, kinds.CEL = authz.CheckCEL, authz.CheckCEL
	words.Key, full.Key = authz.CheckKey, authz.CheckKey
	return []dialect.Dialect{
		kinds, // before gatewayapi, which takes every other object
		full,
		words,
	}
}

// Families is the order in which filters see a request; responses pass them in
// the opposite order. What reads files is built by what keeps them current.
func Families(descriptors *transcode.Descriptors, faults *fault.Counts) []filter.Family {
	return []filter.Family{
		cors.Family(),            // first: a preflight carries no credentials and wants no other answer
		headers.ResponseFamily(), // early, so that it is late on the way back and also marks answers of the rest
		fault.Family(faults),     // before all that answers: the route is to fail as a whole
		redirect.Family(),        // before rewrites: Location is made from what the client asked
		respond.Family(),         //
		headers.RequestFamily(),  // a header set here may be Host, which a rewrite of the hostname overrides
		rewrite.Family(),         // after all that asks: matches and headers see the path as the client sent it
		grpcweb.Family(),         // last, as all that translates: the filters above see the client's request and response
		descriptors.Family(),     //
	}
}
