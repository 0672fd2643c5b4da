package kubernetes

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/vpcchain/vpcchain/integration/lab"
	"github.com/vpcchain/vpcchain/integration/vpcsim/instance"
)

// Where things are on the instance. Its /run is its own and a tmpfs.
const (
	base       = "/run/kubernetes"
	server     = "https://127.0.0.1:6443"
	adminToken = "admin-of-the-simulation"
	nodeToken  = "node-of-the-simulation"
)

// Plane is the control plane: etcd and kube-apiserver on an instance's loopback.
// There is no scheduler and no controller: pods name their node, and nothing
// makes a DaemonSet's.
type Plane struct {
	API *API

	etcd, server *lab.Process
}

// StartPlane starts a control plane for the node of the same instance. Dir has
// the programs.
func StartPlane(ctx context.Context, l *lab.Lab, name, node, dir string) (p *Plane, err error) {
	outside := func(file string) string { return filepath.Join(l.RunDir(node), "kubernetes", file) }
	if err := os.MkdirAll(outside("etcd"), 0o700); err != nil {
		return nil, err
	}
	if err := writeKeys(outside); err != nil {
		return nil, err
	}
	tokens := fmt.Sprintf("%s,admin,admin,system:masters\n%s,system:node:%s,node,\"system:nodes\"\n", adminToken, nodeToken, node)
	if err := os.WriteFile(outside("tokens.csv"), []byte(tokens), 0o600); err != nil {
		return nil, err
	}
	p = &Plane{API: newAPI(instance.At(name).Net(node), server, adminToken)}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("starting the control plane: %w", err), p.Stop())
		}
	}()
	const client, peer = "http://127.0.0.1:2379", "http://127.0.0.1:2380"
	// Nothing of it outlives the test, so nothing has to be on a disk.
	p.etcd, err = l.Start(node, nil, filepath.Join(dir, "etcd"), "--data-dir="+base+"/etcd", "--unsafe-no-fsync", "--log-level=warn",
		"--listen-client-urls="+client, "--advertise-client-urls="+client, "--listen-peer-urls="+peer, "--initial-advertise-peer-urls="+peer, "--initial-cluster=default="+peer)
	if err != nil {
		return p, err
	}
	p.server, err = l.Start(node, nil, filepath.Join(dir, "kube-apiserver"), "--etcd-servers="+client, "--secure-port=6443",
		"--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", "--cert-dir="+base+"/certs", "--endpoint-reconciler-type=none",
		"--service-account-issuer=https://kubernetes.default.svc", "--service-account-key-file="+base+"/sa.pub", "--service-account-signing-key-file="+base+"/sa.key",
		"--service-cluster-ip-range=10.96.0.0/16", "--token-auth-file="+base+"/tokens.csv", "--authorization-mode=Node,RBAC", "--allow-privileged=true")
	if err != nil {
		return p, err
	}
	if err := p.ready(ctx); err != nil {
		return p, err
	}
	return p, os.WriteFile(outside("kubeconfig"), []byte(kubeconfig(nodeToken)), 0o600)
}

func (p *Plane) ready(ctx context.Context) error {
	return lab.Poll(ctx, func() error {
		for what, process := range map[string]*lab.Process{"etcd": p.etcd, "kube-apiserver": p.server} {
			select {
			case <-process.Done():
				return lab.Permanent(fmt.Errorf("%s ended: %s", what, tail(process.Log())))
			default:
			}
		}
		return p.API.call(ctx, "GET", "/readyz", "", nil, nil)
	})
}

// Stop ends it. The server waits for open watches, and nothing of it is needed: both are killed.
func (p *Plane) Stop() error {
	p.API.Close()
	for _, process := range []*lab.Process{p.server, p.etcd} {
		if process != nil {
			_ = process.Stop(syscall.SIGKILL) // the error says that it was killed
		}
	}
	return nil
}

// Log is what the API server has written.
func (p *Plane) Log() string { return p.server.Log() }

// kubeconfig is how a program on the instance finds the server.
func kubeconfig(token string) string {
	return strings.NewReplacer("@SERVER@", server, "@CERT@", base+"/certs/apiserver.crt", "@TOKEN@", token).Replace(`apiVersion: v1
kind: Config
clusters: [{name: simulation, cluster: {server: "@SERVER@", certificate-authority: "@CERT@"}}]
users: [{name: user, user: {token: "@TOKEN@"}}]
contexts: [{name: simulation, context: {cluster: simulation, user: user}}]
current-context: simulation
`)
}

// writeKeys makes the key pair that service accounts' tokens are signed with.
func writeKeys(outside func(string) string) error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return err
	}
	for file, block := range map[string]*pem.Block{
		"sa.key": {Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)},
		"sa.pub": {Type: "PUBLIC KEY", Bytes: public},
	} {
		if err := os.WriteFile(outside(file), pem.EncodeToMemory(block), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// tail is the end of a log.
func tail(log string) string {
	const most = 3000
	return log[max(0, len(log)-most):]
}
