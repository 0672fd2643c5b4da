package kubeapi

import (
	"flag"

	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// Flags are vpc-kube's command line, with the variables that stand for some of it.
type Flags struct {
	Socket    string // of vpc-ipamd
	Node      string // name of the node
	Server    string // URL of the API server; "" for the cluster's service
	TokenFile string // "" for the service account's
	CAFile    string // "" for the service account's
}

// Set is the set of flags that fills f.
func (f *Flags) Set(getenv func(string) string) *flag.FlagSet {
	fs := flag.NewFlagSet("vpc-kube", flag.ContinueOnError)
	fs.StringVar(&f.Socket, "socket", vpcnet.DefaultSocket, "unix socket of vpc-ipamd")
	fs.StringVar(&f.Node, "node", getenv("NODE_NAME"), "name of this node in Kubernetes (NODE_NAME)")
	fs.StringVar(&f.Server, "server", getenv("CLUSTER_ENDPOINT"), "URL of the API server (CLUSTER_ENDPOINT); default: the cluster's service, by KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT")
	fs.StringVar(&f.TokenFile, "token-file", "", "bearer token; default: that of the pod's service account")
	fs.StringVar(&f.CAFile, "ca-file", "", "certificate authority of the API server; default: that of the pod's service account")
	return fs
}
