package traffic

import (
	"reflect"
	"slices"
	"strings"

	"github.com/naru-mesh/naru/model"
)

// field is one thing that a policy can say of a noun.
type field struct {
	name  string
	at    int    // of the noun's fields
	part  int    // of the fields of that one; -1 is all of it
	group string // name without the part
}

// routeFields and serviceFields are what policies can say; whoever adds a field
// to model.Route or model.Service adds it here or among those that make a noun
// what it is (field_test.go). A name without parts is one field: retries that are
// said nearer replace those from further away as a whole. "x.*" has a field for
// each part.
var (
	routeFields = fieldsOf(reflect.TypeFor[model.Route](),
		"Timeouts timeouts.*", "Retry retry", "Hedge hedge", "Shape shape", "Filters fault", "Session session", "Priority priority", "Rollout rollout")
	serviceFields = fieldsOf(reflect.TypeFor[model.Service](),
		"Balance balance", "Hash hash", "HashBalanceFactor hashBalanceFactor", "SubsetSize subsetSize", "SlowStart slowStart", "Health health", "Ejection ejection.*", "Locality locality.*",
		"Limits limits.*", "RetryBudget retryBudget.*", "Connect connect", "Idle idle", "MaxIdle maxIdle", "MaxStreams maxStreams")
)

// fieldsOf reads "Field name" and "Field name.*".
func fieldsOf(t reflect.Type, list ...string) (all []field) {
	for _, text := range list {
		at, name, _ := strings.Cut(text, " ")
		f, _ := t.FieldByName(at)
		group, parts := strings.CutSuffix(name, ".*")
		if !parts {
			all = append(all, field{name, f.Index[0], -1, group})
			continue
		}
		of := f.Type
		if of.Kind() == reflect.Pointer {
			of = of.Elem()
		}
		for i := range of.NumField() {
			part, _, _ := strings.Cut(of.Field(i).Tag.Get("json"), ",")
			all = append(all, field{group + "." + part, f.Index[0], i, group})
		}
	}
	return all
}

// get gives what a noun says of f; not ok where it says nothing.
func (f *field) get(noun reflect.Value) (v reflect.Value, ok bool) {
	v = noun.Field(f.at)
	if f.part < 0 {
		if list, is := v.Interface().([]model.Filter); is {
			i := slices.IndexFunc(list, func(x model.Filter) bool { return x.Fault != nil })
			if i < 0 {
				return v, false
			}
			return reflect.ValueOf(list[i].Fault), true
		}
		return v, !v.IsZero()
	}
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return v, false
		}
		v = v.Elem()
	}
	v = v.Field(f.part)
	return v, !v.IsZero()
}

// set writes v into a noun. own has a bit for each of its fields that it has to
// itself already, where that is a pointer.
func (f *field) set(noun reflect.Value, v reflect.Value, own *uint64) {
	to := noun.Field(f.at)
	if f.part < 0 {
		if list, is := to.Interface().([]model.Filter); is {
			to.Set(reflect.ValueOf(append(slices.Clip(list), model.Filter{Fault: v.Interface().(*model.Fault)})))
			return
		}
		to.Set(v)
		return
	}
	if to.Kind() == reflect.Pointer {
		if bit := uint64(1) << f.at; *own&bit == 0 {
			*own |= bit
			fresh := reflect.New(to.Type().Elem())
			if !to.IsNil() {
				fresh.Elem().Set(to.Elem())
			}
			to.Set(fresh)
		}
		to = to.Elem()
	}
	to.Field(f.part).Set(v)
}
