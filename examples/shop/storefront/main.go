// Command storefront serves the web page of the demo shop: it asks catalog for
// what is on it.
package main

import (
	"bytes"
	"context"
	_ "embed" // for the page
	"encoding/json"
	"flag"
	"fmt"
	"html/template"
	"log"
	"net/http"
	"strings"
	"time"

	"github.com/naru-mesh/naru/examples/shop/service"
)

//go:embed page.html
var page string

// asking bounds the question to catalog.
const asking = 2 * time.Second

// item is a thing for sale, as catalog tells it.
type item struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Cents int    `json:"cents"`
}

func main() {
	catalog := flag.String("catalog", "http://127.0.0.1:9002", "URL of the catalog")
	service.Run("storefront", "127.0.0.1:9001", func(mux *http.ServeMux) (func() error, error) {
		money := func(cents int) string { return fmt.Sprintf("%d.%02d", cents/100, cents%100) }
		t, err := template.New("page").Funcs(template.FuncMap{"money": money}).Parse(page)
		if err != nil {
			return nil, err
		}
		mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
			items, err := ask(r.Context(), strings.TrimSuffix(*catalog, "/")+"/items")
			if err != nil { // the page says so
				log.Print("catalog: ", err)
			}
			var text bytes.Buffer
			if err := t.Execute(&text, items); err != nil {
				service.Fail(w, 500, err.Error())
				return
			}
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			w.Header().Set("Cache-Control", "no-cache")
			w.Write(text.Bytes())
		})
		return nil, nil
	})
}

// ask gives what catalog sells.
func ask(ctx context.Context, url string) (items []item, err error) {
	ctx, cancel := context.WithTimeout(ctx, asking)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != 200 {
		return nil, fmt.Errorf("%s answers %s", url, resp.Status)
	}
	return items, json.NewDecoder(resp.Body).Decode(&items)
}
