// Command catalog tells what the demo shop sells.
package main

import (
	"net/http"

	"github.com/naru-mesh/naru/examples/shop/service"
)

// item is a thing for sale.
type item struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Cents int    `json:"cents"`
}

func main() {
	items := []item{
		{"boat", "Wooden ferry, 1:24", 12900},
		{"oar", "Pair of oars", 4500},
		{"lantern", "Landing-stage lantern", 2350},
		{"rope", "Mooring rope, 10 m", 1290},
	}
	service.Run("catalog", "127.0.0.1:9002", func(mux *http.ServeMux) (func() error, error) {
		mux.HandleFunc("GET /items", func(w http.ResponseWriter, _ *http.Request) { service.Reply(w, 200, items) })
		mux.HandleFunc("GET /items/{id}", func(w http.ResponseWriter, r *http.Request) {
			for _, it := range items {
				if it.ID == r.PathValue("id") {
					service.Reply(w, 200, it)
					return
				}
			}
			service.Fail(w, 404, "no such item")
		})
		return nil, nil
	})
}
