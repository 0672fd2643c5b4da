// Package kubeapi is vpc-kube's work: it follows what Kubernetes says of one
// node, reports it to vpc-ipamd, and tells Kubernetes what vpc-ipamd answers.
package kubeapi

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/transport"
)

// Mounted is where the kubelet puts what a pod's service account needs.
const Mounted = "/var/run/secrets/kubernetes.io/serviceaccount"

// callTimeout bounds a call of the API server that is not a watch. A server
// that takes longer is as good as none, and is asked again.
const callTimeout = 20 * time.Second

// Options say where the API server is and who asks.
type Options struct {
	Server    string // https://host:port
	TokenFile string // read again every minute, and when the server refuses it: the kubelet replaces the token
	CAFile    string
	Agent     string // of the requests, for the server's audit log
}

// InCluster are the options of a process in a pod. A non-empty server replaces
// the service's address, which needs kube-proxy.
func InCluster(server string, getenv func(string) string) (Options, error) {
	o := Options{Server: server, TokenFile: filepath.Join(Mounted, "token"), CAFile: filepath.Join(Mounted, "ca.crt")}
	if o.Server != "" {
		return o, nil
	}
	host, port := getenv("KUBERNETES_SERVICE_HOST"), getenv("KUBERNETES_SERVICE_PORT")
	if host == "" || port == "" {
		return Options{}, errors.New("KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set: run vpc-kube in a pod, or name the API server with -server")
	}
	o.Server = "https://" + net.JoinHostPort(host, port)
	return o, nil
}

// Client speaks to the API server. The typed clients of all resources would be
// half of the binary; three resources do not need them.
type Client struct {
	core *rest.RESTClient
	crd  *rest.RESTClient
}

// NewClient prepares a client; whether somebody answers shows at the first call.
func NewClient(o Options) (*Client, error) {
	// Without this the first call would say so, and every one after it.
	for _, file := range []string{o.TokenFile, o.CAFile} {
		if _, err := os.Stat(file); file != "" && err != nil {
			return nil, fmt.Errorf("what the service account needs is not mounted: %w", err)
		}
	}
	all, err := scheme()
	if err != nil {
		return nil, err
	}
	conf := &rest.Config{
		Host: o.Server, TLSClientConfig: rest.TLSClientConfig{CAFile: o.CAFile}, UserAgent: o.Agent,
		// Unlike with BearerTokenFile, a token that is refused is read again at once.
		WrapTransport: transport.ResettableTokenSourceWrapTransport(transport.NewCachedFileTokenSource(o.TokenFile)),
		ContentConfig: rest.ContentConfig{NegotiatedSerializer: serializer.NewCodecFactory(all).WithoutConversion()},
	}
	// Both speak over one connection.
	shared, err := rest.HTTPClientFor(conf)
	if err != nil {
		return nil, fmt.Errorf("preparing for the API server %s: %w", o.Server, err)
	}
	of := func(path string, gv schema.GroupVersion, accept string) (*rest.RESTClient, error) {
		c := rest.CopyConfig(conf)
		c.APIPath, c.GroupVersion, c.AcceptContentTypes = path, &gv, accept
		return rest.RESTClientForConfigAndClient(c, shared)
	}
	core, err := of("/api", corev1.SchemeGroupVersion, "application/vnd.kubernetes.protobuf,application/json")
	if err != nil {
		return nil, fmt.Errorf("preparing for the API server %s: %w", o.Server, err)
	}
	crd, err := of("/apis", eniConfigs, "application/json") // all that a resource of that kind has
	if err != nil {
		return nil, fmt.Errorf("preparing for the API server %s: %w", o.Server, err)
	}
	return &Client{core, crd}, nil
}
