// Command naru is the whole of naru in one binary.
package main

import (
	"os"

	"github.com/naru-mesh/naru/cli"
)

func main() {
	os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
