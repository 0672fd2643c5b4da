// Command vpcctl is the operator's command line on a node: what vpc-ipamd has,
// whether it serves, and how the chain gets onto the node.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	code, err := run(ctx, os.Args[1:], os.Getenv, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "vpcctl:", err)
		code = max(code, exitError)
	}
	os.Exit(code)
}

// dial prepares a connection to vpc-ipamd, which the first call makes.
func (c call) dial() (*grpc.ClientConn, error) {
	return grpc.NewClient("unix:"+c.text("socket"), grpc.WithTransportCredentials(insecure.NewCredentials()))
}

func printJSON(out io.Writer, v any) error {
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
