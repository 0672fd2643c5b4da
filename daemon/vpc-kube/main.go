// Command vpc-kube brings Kubernetes to vpc-ipamd of the same node: ENIConfigs,
// the node's labels, annotations and taints, the pods that are scheduled to it.
// The way back has the capacity of branch ENIs, and events on pods for which
// there was no address. vpc-ipamd needs it as little as the API server; it is a
// process of its own, so that Kubernetes' libraries are in none that pods depend on.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"k8s.io/klog/v2"

	"github.com/vpcchain/vpcchain/daemon/internal/kubeapi"
	"github.com/vpcchain/vpcchain/pkg/ipamapi"
)

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	err := serve(ctx, args, os.Getenv, log)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintln(os.Stderr, "vpc-kube:", err)
		return 1
	}
	return 0
}

func serve(ctx context.Context, args []string, getenv func(string) string, log *slog.Logger) error {
	var f kubeapi.Flags
	fs := f.Set(getenv)
	if err := fs.Parse(args); err != nil {
		return err
	}
	if f.Node == "" {
		return errors.New("which node? Give -node, or NODE_NAME from the field spec.nodeName of the pod")
	}
	o, err := kubeapi.InCluster(f.Server, getenv)
	if err != nil {
		return err
	}
	if f.TokenFile != "" {
		o.TokenFile = f.TokenFile
	}
	if f.CAFile != "" {
		o.CAFile = f.CAFile
	}
	o.Agent = "vpc-kube"
	klog.SetSlogLogger(log)
	client, err := kubeapi.NewClient(o)
	if err != nil {
		return err
	}
	conn, err := grpc.NewClient("unix:"+f.Socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return fmt.Errorf("preparing for vpc-ipamd on %s: %w", f.Socket, err)
	}
	defer func() { _ = conn.Close() }()
	log.Info("following Kubernetes", "node", f.Node, "server", o.Server, "socket", f.Socket)
	return kubeapi.New(client, ipamapi.NewKubeClient(conn), f.Node, log).Run(ctx)
}
