package targets

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/integration/fakekube"
	"github.com/vpcchain/vpcchain/integration/vpcsim/network"
	"github.com/vpcchain/vpcchain/pkg/ipamclient"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

const kubeTopology = `
vpc: {cidrs: [10.20.0.0/16]}
routeTables: [{id: rtb-main}]
securityGroups: [{id: sg-nodes, ingress: [{groups: [self]}], egress: [{cidrs: [0.0.0.0/0]}]}]
subnets:
  - {id: subnet-a, cidr: 10.20.0.0/20, az: us-west-2a, routeTable: rtb-main}
  - {id: subnet-green, cidr: 10.20.16.0/20, az: us-west-2a, routeTable: rtb-main}
  - {id: subnet-blue, cidr: 10.20.32.0/20, az: us-west-2a, routeTable: rtb-main}
instances: [{name: node, type: %s, subnet: subnet-a, ip: 10.20.0.10, groups: [sg-nodes]}]
`

// kube runs vpc-kube beside the node's daemon, for the node "me"; what it
// returns ends it.
func (n *node) kube(api *fakekube.API) (stop func()) {
	n.t.Helper()
	url, token, ca := api.Files()
	cmd := exec.Command(filepath.Join(n.bin, "vpc-kube"), "-socket", n.socket, "-node", "me", "-server", url, "-token-file", token, "-ca-file", ca)
	cmd.Stderr = n.log
	if err := cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			n.t.Errorf("vpc-kube ends with %v", err)
		}
	})
	n.t.Cleanup(stop)
	return stop
}

// poll waits until f says nothing.
func (n *node) poll(f func() string) {
	n.t.Helper()
	said := ""
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if said = f(); said == "" {
			return
		}
	}
	n.t.Fatal(said)
}

// free waits for so many addresses that pods can have.
func (n *node) free(want int) func() string {
	return func() string {
		if f := n.figures(); f.Unused != want {
			return fmt.Sprintf("%d addresses are free, want %d: %+v", f.Unused, want, f)
		}
		return ""
	}
}

// subnets are those of all ENIs.
func (n *node) subnets() string {
	n.t.Helper()
	var vpc struct {
		Network network.VPC `json:"network"`
	}
	if err := json.Unmarshal([]byte(n.run("vpcsim", "topology", "--name", n.sim, "--json")), &vpc); err != nil {
		n.t.Fatal(err)
	}
	var out []string
	for _, p := range vpc.Network.Ports {
		out = append(out, p.Subnet)
	}
	return strings.Join(out, " ")
}

// assign is one ADD of a pod.
func (n *node) assign(pod string, wait time.Duration) error {
	client := ipamclient.New(n.socket)
	ctx, cancel := context.WithTimeout(n.t.Context(), wait)
	defer cancel()
	_, err := client.Assign(ctx, ipamclient.Request{
		Attachment: vpcnet.Attachment{Network: "vpc", ContainerID: pod, IfName: "eth0"}, Pod: ipamclient.Pod{Namespace: "ns", Name: pod, UID: "u-" + pod},
	})
	return err
}

func pending() fakekube.Object { return fakekube.Object{"status": fakekube.Object{"phase": "Pending"}} }

func eniConfig(subnet string) fakekube.Object {
	return fakekube.Object{"spec": fakekube.Object{"subnet": subnet}}
}

// An ENIConfig object says where new ENIs go, and a change of it where the next
// one does; the daemon goes on by it when API server and vpc-kube are gone, also
// after a restart.
func TestENIConfigOfKubernetes(t *testing.T) {
	t.Parallel()
	n := upWith(t, kubeTopology, "m5.xlarge") // 14 addresses on an ENI
	settings := []string{"AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG=true", "WARM_IP_TARGET=1"}
	stopDaemon := n.daemon(settings...)
	api := fakekube.New(t)
	api.Put("nodes", "me", fakekube.Object{"metadata": fakekube.Object{"labels": fakekube.Object{"k8s.amazonaws.com/eniConfig": "mine"}}})
	stopKube := n.kube(api)
	api.Put("eniconfigs", "mine", eniConfig("subnet-green"))
	n.poll(n.free(1))
	if got := n.subnets(); got != "subnet-a subnet-green" {
		t.Errorf("ENIs are in %s", got)
	}
	api.Put("eniconfigs", "mine", eniConfig("subnet-blue"))
	for i := range 14 {
		api.Put("pods", fmt.Sprintf("ns/pod-%d", i), pending())
	}
	n.poll(n.free(15)) // of which 14 are for the pods that are about to come
	if got := n.subnets(); got != "subnet-a subnet-green subnet-blue" {
		t.Errorf("ENIs are in %s", got)
	}
	stopKube()
	api.SetDown(true)
	stopDaemon()
	n.daemon(settings...)
	n.pods(29) // one more than two ENIs carry
	if got := n.subnets(); got != "subnet-a subnet-green subnet-blue subnet-blue" {
		t.Errorf("ENIs are in %s", got)
	}
}

// Pods find their addresses there when they come, and one for which there is
// none says so itself. The demand of a vpc-kube that is gone ends.
func TestPodsOfKubernetes(t *testing.T) {
	t.Parallel()
	n := upWith(t, kubeTopology, "t3.small")
	n.daemon("WARM_IP_TARGET=1", "IP_COOLDOWN_PERIOD=0", "ENABLE_SUBNET_DISCOVERY=false")
	api := fakekube.New(t)
	stop := n.kube(api)
	n.poll(n.free(1))
	for i := range 5 {
		api.Put("pods", fmt.Sprintf("ns/pod-%d", i), pending())
	}
	n.poll(n.free(6))
	for i := range 9 { // of t3.small's 9 addresses
		if err := n.assign(fmt.Sprintf("pod-%d", i), limit); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.assign("unlucky", time.Second); err == nil {
		t.Fatal("there was an address for a tenth pod")
	}
	n.poll(func() string {
		all := strings.Join(api.Written(), "\n")
		if !strings.HasPrefix(all, "POST /api/v1/namespaces/ns/events ") || !strings.Contains(all, `"name":"unlucky","namespace":"ns","uid":"u-unlucky"`) ||
			!strings.Contains(all, "that is all a t3.small may have") {
			return "written: " + all
		}
		return ""
	})
	stop()
}
