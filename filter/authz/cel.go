package authz

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"cel.dev/cel-go/cel"

	"github.com/naru-mesh/naru/wire"
)

// Bounds of an expression.
const (
	mostCode = 4096   // characters
	mostCost = 10_000 // CEL's measure of one evaluation, about as many steps
)

// environment has the variables of expressions. It is the same for all.
var environment = sync.OnceValues(func() (*cel.Env, error) {
	text := cel.MapType(cel.StringType, cel.StringType)
	return cel.NewEnv(
		cel.ParserExpressionSizeLimit(mostCode),
		cel.Variable("source.principal", cel.StringType),
		cel.Variable("source.namespace", cel.StringType),
		cel.Variable("source.account", cel.StringType),
		cel.Variable("source.address", cel.StringType),
		cel.Variable("destination.port", cel.IntType),
		cel.Variable("destination.service", cel.StringType),
		cel.Variable("connection.sni", cel.StringType),
		cel.Variable("request.method", cel.StringType),
		cel.Variable("request.path", cel.StringType),
		cel.Variable("request.query", cel.StringType),
		cel.Variable("request.host", cel.StringType),
		cel.Variable("request.headers", text),
		cel.Variable("claims", cel.MapType(cel.StringType, cel.DynType)),
		cel.Variable("now", cel.TimestampType),
	)
})

// CheckCEL says what is wrong with an expression of a policy, nil where nothing
// is. It is how configuration is checked before it serves.
func CheckCEL(text string) error {
	_, err := compileCEL(text)
	return err
}

// expression is a CEL program; any goroutine may evaluate it.
type expression struct{ program cel.Program }

func compileCEL(text string) (*expression, error) {
	env, err := environment()
	if err != nil {
		return nil, err
	}
	ast, err := parse(env, text)
	if err != nil {
		return nil, err
	}
	if ast.OutputType() != cel.BoolType {
		return nil, fmt.Errorf("it gives %s, and must give bool: compare it with something", ast.OutputType())
	}
	program, err := env.Program(ast, cel.EvalOptions(cel.OptOptimize), cel.CostLimit(mostCost))
	if err != nil {
		return nil, err
	}
	return &expression{program}, nil
}

func parse(env *cel.Env, text string) (*cel.Ast, error) {
	ast, issues := env.Compile(text)
	if err := issues.Err(); err != nil {
		// Of several lines, with a picture of the place: the first says it.
		first, _, _ := strings.Cut(err.Error(), "\n")
		return nil, fmt.Errorf("%s", strings.TrimPrefix(first, "ERROR: <input>:"))
	}
	return ast, nil
}

// holds evaluates it. What fails is missing, and counted.
func (e *expression) holds(d *Decider, r *rule, in *input, missing bool) (is bool) {
	vars := &variables{input: *in} // a copy, so that in stays on the stack
	defer func() {
		if recover() != nil { // of a library: it must not end the loop, and not open a door
			d.metrics.note(r.counters, Failed, &vars.input)
			is = missing
		}
	}()
	v, _, err := e.program.Eval(vars)
	if err != nil {
		if in.x != nil { // without HTTP it is nothing to speak of
			d.metrics.note(r.counters, Failed, &vars.input)
		}
		return missing
	}
	is, ok := v.Value().(bool)
	if !ok {
		return missing
	}
	return is
}

// variables gives an expression what it asks for, and makes it only then.
type variables struct{ input }

// Parent implements cel.Activation.
func (v *variables) Parent() cel.Activation { return nil }

// ResolveName implements cel.Activation.
func (v *variables) ResolveName(name string) (any, bool) {
	switch name {
	case "source.principal":
		return v.identity, true
	case "source.namespace":
		return v.namespace, true
	case "source.account":
		return v.account, true
	case "source.address":
		return v.remote.Addr().Unmap().String(), true
	case "destination.port":
		return int64(v.port), true
	case "destination.service":
		return v.service, true
	case "connection.sni":
		if v.sni == "" && v.peer != nil && v.peer.TLS != nil {
			return v.peer.TLS.ServerName, true
		}
		return v.sni, true
	case "now":
		return time.Now(), true
	}
	if v.x == nil {
		return nil, false
	}
	h := &v.x.Request
	switch name {
	case "request.method":
		return string(h.Method), true
	case "request.path":
		return string(v.path), true
	case "request.query":
		return string(h.Query), true
	case "request.host":
		return strings.ToLower(string(h.Authority)), true
	case "request.headers":
		return fields(h), true
	case "claims":
		if v.x.Caller == nil {
			return map[string]any{}, true
		}
		return v.x.Caller.Claims, true
	}
	return nil, false
}

// fields are all header fields, names in lower case, several lines joined.
func fields(h *wire.Head) map[string]string {
	all := make(map[string]string, len(h.Fields))
	for i := range h.Fields {
		f := &h.Fields[i]
		if f.Dropped {
			continue
		}
		name := strings.ToLower(string(h.Name(f)))
		if first, twice := all[name]; twice {
			all[name] = first + ", " + string(h.Value(f))
			continue
		}
		all[name] = string(h.Value(f))
	}
	return all
}
