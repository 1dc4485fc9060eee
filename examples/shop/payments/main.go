// Command payments takes the money of the demo shop.
package main

import (
	"fmt"
	"net/http"
	"sync/atomic"

	"github.com/naru-mesh/naru/examples/shop/service"
)

// limit is the most that is charged at once, in cents.
const limit = 50_000

type charge struct {
	Order string `json:"order"`
	Cents int    `json:"cents"`
}

type receipt struct {
	ID    string `json:"id"`
	Cents int    `json:"cents"`
}

func main() {
	var receipts atomic.Uint64
	service.Run("payments", "127.0.0.1:9004", func(mux *http.ServeMux) (func() error, error) {
		mux.HandleFunc("POST /charges", func(w http.ResponseWriter, r *http.Request) {
			var c charge
			switch err := service.Read(w, r, &c); {
			case err != nil:
				service.Fail(w, 400, err.Error())
			case c.Cents <= 0:
				service.Fail(w, 400, "cents must be positive")
			case c.Cents > limit:
				service.Fail(w, 402, "declined: more than 500.00")
			default:
				service.Reply(w, 201, receipt{fmt.Sprintf("r%d", receipts.Add(1)), c.Cents})
			}
		})
		return nil, nil
	})
}
