package short

import (
	"encoding/json"
	"reflect"

	"github.com/naru-mesh/naru/dialect"
)

// Schema gives the JSON Schema (draft 2020-12) of the short form, for editors.
// It is made of the very types that documents are decoded into.
func Schema() ([]byte, error) {
	s := newSchemas()
	top := s.Object(reflect.TypeFor[form]())
	top["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	top["$id"] = "https://naru.dev/schema/short.json"
	top["title"] = "naru, short form"
	top["$defs"] = s.Defs
	text, err := json.MarshalIndent(top, "", "  ")
	if err != nil {
		return nil, err
	}
	return append(text, '\n'), nil
}

// schemas are those of the types of form.go.
type schemas struct{ *dialect.Schemas }

func newSchemas() schemas {
	s := schemas{&dialect.Schemas{Defs: map[string]any{}}}
	s.Of = func(t reflect.Type) dialect.Way {
		w := s.of(t)
		return dialect.Way{Schema: w.schema, Name: w.name}
	}
	return s
}

type schema = dialect.Schema

// way is one way to write a value: a schema, and how the reference calls it.
type way struct {
	schema any
	name   string
}

var (
	aText       = schema{"type": []string{"string", "number", "boolean"}}
	aString     = schema{"type": "string"}
	aBoolean    = schema{"type": "boolean"}
	aNumber     = schema{"type": "integer"}
	isOff       = schema{"const": off}
	aDuration   = schema{"type": "string", "pattern": "^([0-9]+([.][0-9]+)?(ns|us|ms|s|m|h))+$"}
	aRate       = schema{"type": []string{"string", "integer"}, "pattern": "^[0-9]+([.][0-9]+)? ?([KMG]i?B?|kB|k|B)?(/s)?$"}
	aPercentage = schema{"type": "string", "pattern": "^[0-9]+([.][0-9]+)? ?%$"}
	anOften     = schema{"type": "string", "pattern": "^[0-9]+ ?/ ?(s|sec|second|m|min|minute|h|hour)$"}
	aSize       = schema{"type": []string{"string", "integer"}, "pattern": "^[0-9]+([.][0-9]+)? ?([KMG]i?B?|kB|k|B)?$"}
)

// of is the schema of a type, and its name in the reference.
func (s *schemas) of(t reflect.Type) way {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch reflect.New(t).Interface().(type) {
	case *text, *hostname:
		return way{aText, "text"}
	case *words, *hostnames:
		return way{dialect.EitherOf(aText, dialect.ListOf(aText)), "text, list"}
	case *span:
		return way{dialect.EitherOf(isOff, aDuration), "duration, off"}
	case *count, *waiting:
		return way{dialect.EitherOf(isOff, schema{"type": "integer", "minimum": 1}), "number, off"}
	case *byteSize:
		return way{dialect.EitherOf(isOff, aSize), "size, off"}
	case *byteRate:
		return way{aRate, "rate"}
	case *often:
		return way{anOften, "rate"}
	case *portNumbers:
		port := schema{"type": "integer", "minimum": 1, "maximum": 65535}
		return way{dialect.EitherOf(port, dialect.ListOf(port)), "number, list"}
	case *callers:
		return way{dialect.EitherOf(aText, schema{"type": "array", "items": aText}), "text, list"}
	case *claims:
		return way{dialect.MappingOf(dialect.EitherOf(aText, dialect.ListOf(aText))), "mapping of text or list"}
	case *pairs, *networks:
		return way{dialect.MappingOf(aText), "mapping of text"}
	case *slowness:
		return way{schema{"type": []string{"string", "boolean"}, "pattern": "^(off|(p[5-9][0-9] ?)?([0-9.]+x|([0-9]+([.][0-9]+)?(ns|us|ms|s|m|h))+)?)$"}, "1.5x, duration, p50 to p99 before it, off"}
	case *codes:
		return way{dialect.EitherOf(aText, dialect.ListOf(aText)), "number, text, list"}
	case *versions:
		word := schema{"enum": []string{"h1", "h2", "h3"}}
		return way{dialect.EitherOf(word, dialect.ListOf(word)), "text, list"}
	case *calls:
		word := schema{"enum": []string{"web", "metrics"}}
		return way{dialect.EitherOf(word, dialect.ListOf(word)), "text, list"}
	case *asked:
		return way{dialect.EitherOf(aBoolean, aString), "true, text"}
	case *later:
		return way{schema{"not": schema{}}, "-"}
	case *conditions:
		return way{dialect.MappingOf(dialect.EitherOf(aText, s.Ref("condition", reflect.TypeFor[condition]()))), "mapping of text, condition"}
	case *bool:
		return way{aBoolean, "true, false"}
	case *int:
		return way{aNumber, "number"}
	case *percentage, *wholePercentage:
		return way{dialect.EitherOf(schema{"type": "number"}, aPercentage), "number, percentage"}
	case *float64:
		return way{schema{"type": "number"}, "number"}
	}
	return s.noun(t)
}

// noun is the schema of the types that have fields, and of their lists.
func (s *schemas) noun(t reflect.Type) way {
	item := func(name string, t reflect.Type, other ...any) any {
		return dialect.EitherOf(append(other, s.Ref(name, t))...)
	}
	many := func(one any) any { return dialect.EitherOf(one, dialect.ListOf(one)) }
	switch reflect.New(t).Interface().(type) {
	case *listens:
		return way{many(item("listen", reflect.TypeFor[listen](), aText)), "text, listen, list"}
	case *tlsKeys:
		one := item("keyPair", reflect.TypeFor[keyPair](), schema{"enum": []string{"auto", "local", "passthrough"}}, s.Ref("issuance", reflect.TypeFor[issuance]()))
		return way{dialect.EitherOf(schema{"const": true}, many(one)), "auto, local, issuance, keyPair, list, passthrough, true"}
	case *auto:
		return way{item("auto", t, schema{"const": true}), "true, auto"}
	case *localCA:
		return way{item("localCA", t, schema{"const": true}), "true, localCA"}
	case *routes:
		return way{schema{"type": "array", "items": s.Ref("route", reflect.TypeFor[route]())}, "list of route"}
	case *services:
		return way{dialect.MappingOf(dialect.EitherOf(many(item("endpoint", reflect.TypeFor[endpoint](), aString)), s.Ref("service", reflect.TypeFor[service]()))),
			"mapping of text, list of endpoint, service"}
	case *policies:
		return way{schema{"type": "array", "items": s.Ref("policy", reflect.TypeFor[policy]())}, "list of policy"}
	case *defaults:
		return way{s.Ref("defaults", t), "defaults"}
	case *bounds:
		return way{item("bounds", t, aNumber, schema{"const": "adaptive"}), "number, adaptive, bounds"}
	case *mesh:
		return way{item("mesh", t, aBoolean), "true, mesh"}
	case *member:
		return way{item("member", t, aNumber), "number, member"}
	case *federations:
		return way{schema{"type": "array", "items": s.Ref("federation", reflect.TypeFor[federation]())}, "list of federation"}
	case *matches:
		return way{many(item("match", reflect.TypeFor[match](), aString)), "text, match, list"}
	case *destinations:
		weights := dialect.MappingOf(aNumber)
		return way{dialect.EitherOf(weights, many(item("destination", reflect.TypeFor[destination](), aString, weights))),
			"text, mapping of weights, list of destination"}
	case *mirrors:
		return way{many(item("mirror", reflect.TypeFor[mirror](), aString)), "text, mirror, list"}
	case *endpoints:
		return way{many(item("endpoint", reflect.TypeFor[endpoint](), aString)), "text, endpoint, list"}
	case *logging:
		return way{item("logging", t, schema{"enum": []string{off, "json", "text"}}), "text, logging"}
	case *redirect:
		return way{item("redirect", t, aString), "text, redirect"}
	case *respond:
		return way{item("respond", t, aString, aNumber), "number, text, respond"}
	case *rewrite:
		return way{item("rewrite", t, aString), "text, rewrite"}
	case *cors:
		return way{item("cors", t, aBoolean, aString, dialect.ListOf(aString)), "true, text, list, cors"}
	case *rollout:
		return way{item("rollout", t, aString), "text, rollout"}
	case *steps:
		return way{dialect.ListOf(dialect.EitherOf(schema{"type": []string{"number", "string"}}, s.Ref("step", reflect.TypeFor[step]()))), "list of number, step"}
	case *fault:
		return way{item("fault", t, isOff), "off, fault"}
	case *shape:
		return way{item("shape", t, isOff, anOften), "rate, off, shape"}
	case *timeouts:
		return way{item("timeouts", t, isOff, aDuration), "duration, timeouts"}
	case *overload:
		return way{item("overload", t, schema{"enum": []any{off, false}}), "off, overload"}
	case *retry:
		return way{item("retry", t, isOff, aNumber), "number, off, retry"}
	case *hedge:
		return way{dialect.EitherOf(isOff, schema{"type": "string", "pattern": "^p[5-9][0-9]$"}, aDuration), "duration, p50 to p99, off"}
	case *budget:
		return way{item("retryBudget", t, aNumber, aPercentage), "percentage, retryBudget"}
	case *transcode:
		return way{item("transcode", t, aString), "text, transcode"}
	case *ejection:
		return way{item("ejection", t, aBoolean, aString), "off, ejection"}
	case *locality:
		return way{item("locality", t, schema{"enum": []any{"zone", "region", "none", off, false}}), "zone, region, none, locality"}
	case *health:
		return way{item("health", t, aBoolean, aString), "text, true, health"}
	case *clientAuth:
		return way{item("clientAuth", t, schema{"const": false}, aString), "text, clientAuth"}
	case *introduced:
		return way{item("proxyProtocol", t, aBoolean), "true, proxyProtocol"}
	case *trust:
		return way{item("trust", t, aBoolean), "true, trust"}
	}
	return way{s.Ref(t.Name(), t), t.Name()}
}
