// A vCenter of govmomi's own simulator, as the library that Debian packages has it: a datacenter, a cluster of three hosts and a host that
// stands alone, two VMs for each pool, and as many datastores as asked for. Prints its URL in one line, and ends with its standard input.
package main

import (
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"log"
	"net/url"
	"os"

	"github.com/vmware/govmomi/simulator"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "address and port")
	username := flag.String("username", "user", "who may log in")
	password := flag.String("password", "pass", "and how")
	datastores := flag.Int("datastores", 2, "datastores that every host has")
	delayMs := flag.Int("delay-ms", 0, "each call takes so long")
	flag.Parse()

	model := simulator.VPX()
	model.Datastore = *datastores
	if err := model.Create(); err != nil {
		log.Fatal(err)
	}
	defer model.Remove()

	model.Service.TLS = new(tls.Config)
	model.Service.Listen = &url.URL{Host: *listen, User: url.UserPassword(*username, *password)}
	model.DelayConfig.Delay = *delayMs
	server := model.Service.NewServer()
	defer server.Close()

	fmt.Println(server.URL.String())
	_, _ = io.Copy(io.Discard, os.Stdin)
}
