// Command orders takes orders of the demo shop: it asks catalog for the price
// and payments for the money, and keeps what was paid in SQLite.
package main

import (
	"flag"
	"net/http"
	"strings"

	"github.com/naru-mesh/naru/examples/shop/service"
)

func main() {
	catalog := flag.String("catalog", "http://127.0.0.1:9002", "URL of the catalog")
	payments := flag.String("payments", "http://127.0.0.1:9004", "URL of payments")
	data := flag.String("data", "orders.db", "database file")
	service.Run("orders", "127.0.0.1:9003", func(mux *http.ServeMux) (func() error, error) {
		books, err := open(*data)
		if err != nil {
			return nil, err
		}
		s := &shop{
			books:    books,
			catalog:  strings.TrimSuffix(*catalog, "/"),
			payments: strings.TrimSuffix(*payments, "/"),
		}
		mux.HandleFunc("POST /orders", s.create)
		mux.HandleFunc("GET /orders", s.list)
		mux.HandleFunc("GET /orders/{id}", s.show)
		return books.close, nil
	})
}
