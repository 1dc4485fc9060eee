package dialect

import (
	"bytes"
	"encoding"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

func readNode(in *Decoder, n *yaml.Node, v reflect.Value, _ *plan) {
	v.Addr().Interface().(NodeReader).ReadNode(in, n)
}

// readNothing is for types that no text can stand for (functions, channels).
func readNothing(in *Decoder, n *yaml.Node, _ reflect.Value, _ *plan) {
	in.wrong(n, "left out", "")
}

func readString(in *Decoder, n *yaml.Node, v reflect.Value, p *plan) {
	if n.Kind != yaml.ScalarNode {
		in.wrong(n, "text", "NAME: text")
		return
	}
	switch n.Tag {
	case "!!int", "!!float", "!!bool":
		if n.Tag != "!!bool" && p.typ.Name() == "Duration" { // of the Gateway API, which is a text
			in.noUnit(n)
			return
		}
		in.Problem(n, "bad-value", fmt.Sprintf("%s must be text, not %s", in.name(), describe(n)),
			"put it in quotes: "+strconv.Quote(n.Value))
		return
	}
	v.SetString(n.Value)
}

func readBool(in *Decoder, n *yaml.Node, v reflect.Value, _ *plan) {
	if n.Kind == yaml.ScalarNode {
		plain := n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) == 0
		// yes, no, on and off were booleans in YAML 1.1, which the tools of
		// Kubernetes still read.
		switch {
		case n.Tag == "!!bool":
			v.SetBool(isTrue(n.Value))
			return
		case plain && (n.Value == "yes" || n.Value == "on"):
			v.SetBool(true)
			return
		case plain && (n.Value == "no" || n.Value == "off"):
			v.SetBool(false)
			return
		}
	}
	in.wrong(n, "true or false", "NAME: true")
}

// isTrue reads what is already known to be a boolean.
func isTrue(s string) bool { return s == "true" || s == "True" || s == "TRUE" }

func readInt(in *Decoder, n *yaml.Node, v reflect.Value, p *plan) {
	if n.Kind != yaml.ScalarNode || n.Tag != "!!int" {
		in.wrong(n, "a whole number", "NAME: 1")
		return
	}
	i, err := parseInt(n.Value, p.typ.Bits())
	if err != nil {
		bits := p.typ.Bits()
		in.wrong(n, fmt.Sprintf("between %d and %d", int64(-1)<<(bits-1), int64(math.MaxInt64)>>(64-bits)), "")
		return
	}
	v.SetInt(i)
}

func readUint(in *Decoder, n *yaml.Node, v reflect.Value, p *plan) {
	if n.Kind != yaml.ScalarNode || n.Tag != "!!int" {
		in.wrong(n, "a whole number", "NAME: 1")
		return
	}
	text := strings.ReplaceAll(n.Value, "_", "")
	u, err := strconv.ParseUint(strings.TrimPrefix(text, "+"), 0, p.typ.Bits())
	if err != nil {
		in.wrong(n, fmt.Sprintf("between 0 and %d", uint64(math.MaxUint64)>>(64-p.typ.Bits())), "")
		return
	}
	v.SetUint(u)
}

func readFloat(in *Decoder, n *yaml.Node, v reflect.Value, _ *plan) {
	if n.Kind == yaml.ScalarNode && (n.Tag == "!!int" || n.Tag == "!!float") {
		if f, ok := parseFloat(n.Value); ok {
			v.SetFloat(f)
			return
		}
	}
	in.wrong(n, "a number", "NAME: 0.5")
}

// parseInt reads the notations of YAML: 10, 0x1f, 0o17, 0b101, 1_000.
func parseInt(s string, bits int) (int64, error) {
	return strconv.ParseInt(strings.ReplaceAll(s, "_", ""), 0, bits)
}

func parseFloat(s string) (float64, bool) {
	s = strings.ReplaceAll(s, "_", "")
	if f, err := strconv.ParseFloat(s, 64); err == nil {
		return f, !math.IsInf(f, 0) && !math.IsNaN(f)
	}
	if i, err := strconv.ParseInt(s, 0, 64); err == nil {
		return float64(i), true
	}
	return 0, false
}

// noUnit tells of a number in place of a duration.
func (in *Decoder) noUnit(n *yaml.Node) {
	hint := "for example " + n.Value + "s or " + n.Value + "ms"
	if _, ok := parseFloat(n.Value); !ok {
		hint = "for example 5s or 250ms"
	}
	in.Problem(n, "bad-value", in.name()+" must be a duration with its unit, not "+describe(n), hint)
}

func readDuration(in *Decoder, n *yaml.Node, v reflect.Value, _ *plan) {
	if n.Kind == yaml.ScalarNode {
		if n.Value == "0" {
			v.SetInt(0)
			return
		}
		if n.Tag == "!!int" || n.Tag == "!!float" {
			in.noUnit(n)
			return
		}
		if d, err := time.ParseDuration(n.Value); err == nil {
			v.SetInt(int64(d))
			return
		}
	}
	in.wrong(n, "a duration", "NAME: 5s (units: ms, s, m, h)")
}

func readBytes(in *Decoder, n *yaml.Node, v reflect.Value, _ *plan) {
	if n.Kind != yaml.ScalarNode {
		in.wrong(n, "text in base64", "")
		return
	}
	text := n.Value
	if strings.ContainsAny(text, " \t\r\n") {
		text = strings.Join(strings.Fields(text), "")
	}
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		in.Problem(n, "bad-value", in.name()+" must be base64, and this is not",
			"encode it, or write plain text under stringData if the object has it")
		return
	}
	v.SetBytes(data)
}

func readText(in *Decoder, n *yaml.Node, v reflect.Value, _ *plan) {
	if n.Kind != yaml.ScalarNode {
		in.wrong(n, "text", "NAME: text")
		return
	}
	if err := v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(n.Value)); err != nil {
		in.refused(n, err)
	}
}

// readJSON gives the node as JSON to a type that reads JSON itself.
func readJSON(in *Decoder, n *yaml.Node, v reflect.Value, _ *plan) {
	var b bytes.Buffer
	in.writeJSON(&b, n)
	if err := v.Addr().Interface().(json.Unmarshaler).UnmarshalJSON(b.Bytes()); err != nil {
		in.refused(n, err)
	}
}

// refused notes what a type itself says about a text.
func (in *Decoder) refused(n *yaml.Node, err error) {
	why := strings.TrimPrefix(err.Error(), "json: ")
	in.Problem(n, "bad-value", fmt.Sprintf("%s can not be %s", in.name(), describe(n)), clip(why))
}

// writeJSON writes a tree as JSON, numbers as YAML means them.
func (in *Decoder) writeJSON(b *bytes.Buffer, n *yaml.Node) {
	switch n.Kind {
	case yaml.MappingNode:
		b.WriteByte('{')
		for i := 0; i+1 < len(n.Content); i += 2 {
			if i > 0 {
				b.WriteByte(',')
			}
			writeString(b, n.Content[i].Value)
			b.WriteByte(':')
			in.writeJSON(b, n.Content[i+1])
		}
		b.WriteByte('}')
		return
	case yaml.SequenceNode:
		b.WriteByte('[')
		for i, c := range n.Content {
			if i > 0 {
				b.WriteByte(',')
			}
			in.writeJSON(b, c)
		}
		b.WriteByte(']')
		return
	}
	switch x := in.plain(n).(type) {
	case nil:
		b.WriteString("null")
	case bool:
		b.WriteString(strconv.FormatBool(x))
	case int64:
		b.WriteString(strconv.FormatInt(x, 10))
	case float64:
		b.WriteString(strconv.FormatFloat(x, 'g', -1, 64))
	case string:
		writeString(b, x)
	}
}

func writeString(b *bytes.Buffer, s string) {
	text, _ := json.Marshal(s) // a string can always be marshalled
	b.Write(text)
}
