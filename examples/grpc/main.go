// Command grpc is the Orders service on the ports that it is given.
//
//	grpc 9001 9002
package main

import (
	"log"
	"net"
	"os"

	"github.com/naru-mesh/naru/examples/grpc/orders"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("orders: ")
	if len(os.Args) < 2 {
		log.Fatal("which ports? For example: grpc 9001")
	}
	ended := make(chan error)
	for _, port := range os.Args[1:] {
		ln, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", port))
		if err != nil {
			log.Fatal(err)
		}
		server, _ := orders.NewServer()
		go func() { ended <- server.Serve(ln) }()
		log.Println("listening on", ln.Addr())
	}
	log.Fatal(<-ended)
}
