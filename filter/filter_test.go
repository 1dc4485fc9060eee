package filter

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/naru-mesh/naru/model"
)

// note is a filter that writes down when it is called.
type note struct {
	name   string
	answer bool
	log    *[]string
}

func (n note) OnRequest(*Exchange) Verdict {
	*n.log = append(*n.log, n.name+" request")
	if n.answer {
		return Answer
	}
	return Continue
}

type noteBoth struct{ note }

func (n noteBoth) OnResponse(*Exchange) { *n.log = append(*n.log, n.name+" response") }

func TestChainOrder(t *testing.T) {
	t.Parallel()
	var log []string
	families := []Family{
		{"first", func(f *model.Filter) (any, error) {
			if f.CORS == nil {
				return nil, nil
			}
			return noteBoth{note{"first", false, &log}}, nil
		}},
		{"second", func(f *model.Filter) (any, error) {
			if f.Rewrite == nil {
				return nil, nil
			}
			return noteBoth{note{"second", f.Rewrite.Hostname == "answer", &log}}, nil
		}},
		{"third", func(f *model.Filter) (any, error) {
			if f.Respond == nil {
				return nil, nil
			}
			return note{"third", false, &log}, nil
		}},
	}
	fs := []model.Filter{{Respond: &model.Respond{}}, {Rewrite: &model.Rewrite{}}, {Mirror: &model.Mirror{}}, {CORS: &model.CORS{}}}
	c, err := Compile(families, fs)
	if err != nil {
		t.Fatal(err)
	}
	x := &Exchange{}
	if v := c.OnRequest(x); v != Continue {
		t.Errorf("verdict %d", v)
	}
	c.OnResponse(x)
	if want := []string{"first request", "second request", "third request", "second response", "first response"}; !slices.Equal(log, want) {
		t.Errorf("%q, want %q", log, want)
	}
	if want := []string{"first", "second", "third"}; !slices.Equal(c.Names(), want) {
		t.Errorf("names %q", c.Names())
	}

	log, fs[1].Rewrite.Hostname = nil, "answer"
	if c, err = Compile(families, fs); err != nil {
		t.Fatal(err)
	}
	if v := c.OnRequest(x); v != Answer || !slices.Equal(log, []string{"first request", "second request"}) {
		t.Errorf("%d after %q", v, log)
	}
}

func TestCompileErrors(t *testing.T) {
	t.Parallel()
	broken := []Family{{"rewrite", func(*model.Filter) (any, error) { return nil, errors.New("no such host") }}}
	if _, err := Compile(broken, []model.Filter{{Rewrite: &model.Rewrite{}}}); err == nil || !strings.Contains(err.Error(), "rewrite: no such host") {
		t.Errorf("%v", err)
	}
	if _, err := Compile(nil, []model.Filter{{Rewrite: &model.Rewrite{}}}); err == nil {
		t.Error("a filter of no family was taken")
	}
	var zero Chain
	if v := zero.OnRequest(&Exchange{}); v != Continue {
		t.Errorf("the zero chain: %d", v)
	}
}
