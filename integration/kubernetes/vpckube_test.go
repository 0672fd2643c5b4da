package kubernetes

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/integration/lab"
	"github.com/vpcchain/vpcchain/integration/supervise"
	"github.com/vpcchain/vpcchain/integration/vpcsim/network"
)

// kubeNode is a node without a kubelet: vpc-ipamd and vpc-kube beside a real API
// server, vpc-kube with the rights that the chart gives and no others.
type kubeNode struct {
	*testing.T
	ctx    context.Context
	lab    *lab.Lab
	plane  *Plane
	daemon *lab.Process
}

func newKubeNode(t *testing.T) *kubeNode {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("needs root: the node is made of namespaces")
	}
	programs := tool(t, "VPCCHAIN_KUBERNETES", "etcd", "kube-apiserver")
	owner := supervise.Owner()
	t.Cleanup(func() {
		if err := sweep(owner); err != nil {
			t.Error(err)
		}
	})
	bin, err := filepath.Abs("../../bin")
	if err != nil {
		t.Fatal(err)
	}
	n := &kubeNode{T: t, ctx: limited(t, 4*time.Minute)}
	if n.lab, err = lab.Up(n.ctx, bin, simulation(owner), "vpckube.yaml"); err != nil {
		t.Fatal(err)
	}
	if n.plane, err = StartPlane(n.ctx, n.lab, simulation(owner), nodeName, programs); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.plane.Stop() })
	n.startDaemon()
	n.startKube()
	return n
}

func (n *kubeNode) startDaemon() {
	n.Helper()
	var err error
	env := []string{"AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG=true", "WARM_IP_TARGET=1", "MAX_ENI=4", "ENABLE_POD_ENI=true", "IP_COOLDOWN_PERIOD=1"}
	if n.daemon, err = n.lab.Start(nodeName, env, n.lab.Bin("vpc-ipamd")); err != nil {
		n.Fatal(err)
	}
	d := n.daemon
	n.Cleanup(func() {
		_ = d.Stop(syscall.SIGKILL) // the error says that it was killed
		if n.Failed() {
			n.Logf("end of vpc-ipamd's log:\n%s", tail(d.Log()))
		}
	})
}

// startKube runs vpc-kube as the chart's service account.
func (n *kubeNode) startKube() {
	n.Helper()
	for _, o := range render(n.T, Object{"vpcKube": Object{"enabled": true}}) {
		if err := n.plane.API.Apply(n.ctx, pathOf(n.T, o), o, false); err != nil {
			n.Fatal(err)
		}
	}
	var token struct{ Status struct{ Token string } }
	request := Object{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": Object{}}
	if err := n.plane.API.Post(n.ctx, "/api/v1/namespaces/kube-system/serviceaccounts/vpcchain/token", request, &token); err != nil {
		n.Fatal(err)
	}
	file := filepath.Join(n.lab.RunDir(nodeName), "token")
	if err := os.WriteFile(file, []byte(token.Status.Token), 0o600); err != nil {
		n.Fatal(err)
	}
	kube, err := n.lab.Start(nodeName, nil, n.lab.Bin("vpc-kube"), "-node="+nodeName, "-server="+server, "-token-file=/run/token", "-ca-file="+base+"/certs/apiserver.crt")
	if err != nil {
		n.Fatal(err)
	}
	n.Cleanup(func() {
		if err := kube.Stop(syscall.SIGTERM); err != nil {
			n.Errorf("vpc-kube ends with %v", err)
		}
		if n.Failed() {
			n.Logf("end of vpc-kube's log:\n%s", tail(kube.Log()))
		}
	})
}

func (n *kubeNode) post(path string, o Object) {
	n.Helper()
	// The server serves a new resource a little after it says so.
	if err := lab.Poll(n.ctx, func() error { return n.plane.API.Post(n.ctx, path, o, nil) }); err != nil {
		n.Fatal(err)
	}
}

func (n *kubeNode) poll(f func() error) {
	n.Helper()
	if err := lab.Poll(n.ctx, f); err != nil {
		n.Fatal(err)
	}
}

// pool waits until vpc-ipamd has so many free addresses.
func (n *kubeNode) pool(free int) {
	n.Helper()
	n.poll(func() error {
		out, err := n.lab.Exec(n.ctx, nodeName, n.lab.Bin("vpcctl"), "pool", "--json")
		if err != nil {
			return err
		}
		var pool struct{ Available int }
		if err := json.Unmarshal([]byte(out), &pool); err != nil || pool.Available != free {
			return fmt.Errorf("%d addresses are free, want %d: %w\n%s", pool.Available, free, err, out)
		}
		return nil
	})
}

// subnets are those of the node's ENIs, in the order of their making.
func (n *kubeNode) subnets() string {
	n.Helper()
	var vpc struct {
		Network network.VPC `json:"network"`
	}
	if err := n.lab.Sim(n.ctx, &vpc, "topology"); err != nil {
		n.Fatal(err)
	}
	var out []string
	for _, p := range vpc.Network.Ports {
		if p.Host == nodeName {
			out = append(out, p.Subnet)
		}
	}
	return strings.Join(out, " ")
}

func eniConfig(name, subnet string) Object {
	return Object{"apiVersion": "crd.k8s.amazonaws.com/v1alpha1", "kind": "ENIConfig", "metadata": Object{"name": name}, "spec": Object{"subnet": subnet}}
}

const (
	configs  = "/apis/crd.k8s.amazonaws.com/v1alpha1/eniconfigs"
	thisNode = "/api/v1/nodes/" + nodeName
)

// TestVpcKube is the way from Kubernetes to vpc-ipamd and back, with the real
// API server.
func TestVpcKube(t *testing.T) {
	n := newKubeNode(t)
	n.post("/api/v1/nodes", Object{"metadata": Object{"name": nodeName}})
	n.post("/api/v1/namespaces/default/serviceaccounts", Object{"metadata": Object{"name": "default"}})
	n.post(configs, eniConfig("us-west-2a", "subnet-green"))
	n.pool(1)
	if got := n.subnets(); got != "subnet-node-a subnet-green" {
		t.Errorf("with the zone's ENIConfig ENIs are in %s", got)
	}

	t.Log("a label names another ENIConfig, and pods are on their way")
	n.post(configs, eniConfig("mine", "subnet-blue"))
	mark := Object{"apiVersion": "v1", "kind": "Node", "metadata": Object{"labels": Object{"k8s.amazonaws.com/eniConfig": "mine"}}}
	if err := n.plane.API.Apply(n.ctx, thisNode, mark, false); err != nil {
		t.Fatal(err)
	}
	for i := range 16 {
		n.post(pods, simplePod(fmt.Sprintf("pod-%d", i), Object{"name": "c", "image": "none"}))
	}
	n.pool(17)
	if got := n.subnets(); got != "subnet-node-a subnet-green subnet-blue" {
		t.Errorf("with the node's ENIConfig ENIs are in %s", got)
	}

	t.Log("branch ENIs as capacity of the node")
	n.poll(func() error {
		var node struct {
			Status struct{ Capacity map[string]string }
		}
		if err := n.plane.API.Get(n.ctx, thisNode, &node); err != nil || node.Status.Capacity["vpc.amazonaws.com/pod-eni"] != "18" {
			return fmt.Errorf("capacity %v, %w", node.Status.Capacity, err)
		}
		return nil
	})
	last := n.testEvent(t)

	t.Log("the API server is gone, and vpc-ipamd starts again")
	if err := n.plane.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := n.daemon.Stop(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	n.startDaemon()
	if _, err := n.lab.CNITool(n.ctx, "del", last); err != nil {
		t.Error(err)
	}
	if _, err := n.lab.AddPod(n.ctx, nodeName, "vpc", "after"); err != nil {
		t.Error(err)
	}
}

// testEvent fills the node's last ENI and reads why the next pod has no address
// from the pod's events. It returns the last pod that has one.
func (n *kubeNode) testEvent(t *testing.T) (last lab.Pod) {
	conflist := `{"cniVersion": "1.1.0", "name": "vpc", "plugins": [{"type": "vpc-ipam", "timeout": "4s"}, {"type": "vpc-veth"}]}`
	file := filepath.Join(n.lab.RunDir(nodeName), "10-vpc.conflist")
	err := os.WriteFile(file, []byte(conflist), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.lab.Exec(n.ctx, nodeName, "install", "-D", "/run/10-vpc.conflist", confDir+"/10-vpc.conflist"); err != nil {
		t.Fatal(err)
	}
	for i := range 28 { // what two ENIs carry; the trunk is not made yet
		if last, err = n.lab.AddPod(n.ctx, nodeName, "vpc", fmt.Sprintf("pod-%d", i)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := n.lab.AddPod(n.ctx, nodeName, "vpc", "unlucky"); err == nil {
		t.Fatal("there was an address for one pod more")
	}
	n.poll(func() error {
		var events struct {
			Items []struct {
				Reason, Message, Type string
				InvolvedObject        struct{ Kind, Name string }
			}
		}
		if err := n.plane.API.Get(n.ctx, "/api/v1/namespaces/default/events", &events); err != nil {
			return err
		}
		if len(events.Items) != 1 {
			return fmt.Errorf("events: %v", events.Items)
		}
		e := events.Items[0]
		if e.Reason != "NoPodAddress" || e.Type != "Warning" || e.InvolvedObject.Kind != "Pod" || e.InvolvedObject.Name != "unlucky" || !strings.Contains(e.Message, "that is all a m5.xlarge may have") {
			return lab.Permanent(fmt.Errorf("event %+v", e))
		}
		t.Logf("event: %s", e.Message)
		return nil
	})
	return last
}
