package short

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/naru-mesh/naru/model"
)

// known are the fields of all types that documents are decoded into, found by
// walking from the top.
func known(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	for _, section := range sections() {
		for i := range section.typ.NumField() {
			f := section.typ.Field(i)
			if !f.IsExported() {
				continue
			}
			name := f.Tag.Get("json")
			if name == "" || f.Tag.Get("doc") == "" {
				t.Errorf("%s.%s has no json or doc tag", section.title, f.Name)
			}
			found[section.title] = append(found[section.title], name)
		}
	}
	return found
}

// The schema has every field, and no other.
func TestSchema(t *testing.T) {
	t.Parallel()
	text, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	type object struct {
		Properties map[string]struct {
			Description string `json:"description"`
		} `json:"properties"`
		Additional *bool `json:"additionalProperties"`
	}
	var top struct {
		object
		Defs map[string]object `json:"$defs"`
	}
	if err := json.Unmarshal(text, &top); err != nil {
		t.Fatal(err)
	}
	objects := top.Defs
	objects["a file"] = top.object
	fields := known(t)
	for name, o := range objects {
		want := fields[name]
		delete(fields, name)
		if len(want) != len(o.Properties) || o.Additional == nil || *o.Additional {
			t.Errorf("%s: fields %v, in the schema %v", name, want, o.Properties)
		}
		for _, f := range want {
			if o.Properties[f].Description == "" {
				t.Errorf("%s.%s is not in the schema", name, f)
			}
		}
	}
	for name := range fields {
		t.Errorf("%s is not in the schema", name)
	}
	for _, ref := range strings.Split(string(text), `"#/$defs/`)[1:] {
		name, _, _ := strings.Cut(ref, `"`)
		if _, ok := objects[name]; !ok {
			t.Errorf("the schema refers to %s, which it does not have", name)
		}
	}
}

// The reference has every field, with its meaning, in a table of its own.
func TestReference(t *testing.T) {
	t.Parallel()
	page := string(Reference())
	for name, fields := range known(t) {
		_, section, ok := strings.Cut(page, "## "+name+"\n")
		if !ok {
			t.Errorf("no section %s", name)
			continue
		}
		section, _, _ = strings.Cut(section, "\n## ")
		rows := strings.Count(section, "\n| `")
		for _, f := range fields {
			if !strings.Contains(section, "\n| `"+f+"` | ") {
				t.Errorf("%s.%s is not in the reference", name, f)
			}
		}
		if rows != len(fields) {
			t.Errorf("%s has %d rows for %d fields", name, rows, len(fields))
		}
	}
}

// What is said of limits is what holds.
func TestDefaultsOfLimits(t *testing.T) {
	t.Parallel()
	for i := range reflect.TypeFor[limits]().NumField() {
		f := reflect.TypeFor[limits]().Field(i)
		if !f.IsExported() {
			continue
		}
		name, value := f.Tag.Get("json"), f.Tag.Get("default")
		fragment, problems := parse(t, New(), []byte("limits: {"+name+": "+value+"}\nroutes: [{respond: 200}]\n"))
		if len(problems) > 0 {
			t.Errorf("%s: %v", name, problems)
			continue
		}
		got := reflect.ValueOf(fragment.Listeners[0].Limits).FieldByName(f.Name).Interface()
		if want := reflect.ValueOf(model.DefaultLimits).FieldByName(f.Name).Interface(); got != want {
			t.Errorf("%s is said to be %s, and is %v", name, value, want)
		}
	}
}
