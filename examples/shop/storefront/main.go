// Command storefront serves the web page of the demo shop.
package main

import (
	_ "embed" // for the page
	"net/http"

	"github.com/naru-mesh/naru/examples/shop/service"
)

//go:embed page.html
var page []byte

func main() {
	service.Run("storefront", "127.0.0.1:9001", func(mux *http.ServeMux) (func() error, error) {
		mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			w.Header().Set("Cache-Control", "no-cache")
			w.Write(page)
		})
		return nil, nil
	})
}
