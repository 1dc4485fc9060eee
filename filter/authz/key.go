package authz

import (
	"fmt"
	"strconv"

	"cel.dev/cel-go/cel"

	"github.com/naru-mesh/naru/filter"
	"github.com/naru-mesh/naru/model"
)

// mostKeyCost bounds one evaluation of a key, in CEL's measure: a tenth of what a
// policy may, as it is paid by each request and decides less.
const mostKeyCost = 1000

// CheckKey says what is wrong with an expression of a model.HashKey, nil where
// nothing is.
func CheckKey(text string) error {
	_, err := NewKey(text)
	return err
}

// NewKey compiles an expression of a model.HashKey. It has the variables of
// policies, and gives text, bytes, a number or a truth value.
func NewKey(text string) (filter.KeyReader, error) {
	if len(text) > model.MostHashCode {
		return nil, fmt.Errorf("it has %d characters, %d are allowed", len(text), model.MostHashCode)
	}
	env, err := environment()
	if err != nil {
		return nil, err
	}
	ast, err := parse(env, text)
	if err != nil {
		return nil, err
	}
	switch t := ast.OutputType(); t.Kind() {
	case cel.StringKind, cel.BytesKind, cel.IntKind, cel.UintKind, cel.DoubleKind, cel.BoolKind, cel.DynKind:
	default:
		return nil, fmt.Errorf("it gives %s, and must give text, bytes, a number or a truth value", t)
	}
	program, err := env.Program(ast, cel.EvalOptions(cel.OptOptimize), cel.CostLimit(mostKeyCost))
	if err != nil {
		return nil, err
	}
	return &key{program: program}, nil
}

// key is a filter.KeyReader.
type key struct {
	program cel.Program
	nobody  Decider // without policies: it knows what a request brings
}

// Key implements filter.KeyReader.
func (k *key) Key(b []byte, x *filter.Exchange) (out []byte, ok bool) {
	vars := &variables{input: input{x: x}}
	defer func() {
		if recover() != nil { // of a library: it must not end the loop
			out, ok = b, false
		}
	}()
	k.nobody.fill(&vars.input, x.Peer, x.Port)
	v, _, err := k.program.Eval(vars)
	if err != nil {
		return b, false
	}
	was := len(b)
	switch v := v.Value().(type) {
	case string:
		b = append(b, v...)
	case []byte:
		b = append(b, v...)
	case int64:
		b = strconv.AppendInt(b, v, 10)
	case uint64:
		b = strconv.AppendUint(b, v, 10)
	case float64:
		b = strconv.AppendFloat(b, v, 'g', -1, 64)
	case bool:
		b = strconv.AppendBool(b, v)
	}
	return b, len(b) > was
}
