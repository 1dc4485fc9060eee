// Command visitor has no part in the demo shop: it sends JSON to a URL and
// prints what comes back, as curl would.
//
//	visitor http://payments:9004/charges '{"order":"boat","cents":100}'
package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strings"
	"time"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("visitor: ")
	if len(os.Args) != 3 {
		log.Fatal("want a URL and JSON")
	}
	client := http.Client{Timeout: 10 * time.Second}
	resp, err := client.Post(os.Args[1], "application/json", strings.NewReader(os.Args[2]))
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n%s\n", resp.Status, strings.TrimSpace(string(text)))
}
