package e2e

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/vpcchain/vpcchain/integration/lab"
	"github.com/vpcchain/vpcchain/integration/scenario"
)

// A daemon without its ENIConfig runs, and the CNI's STATUS says what is missing;
// with the file it serves, and the pods' ENI lies where the file says.
func TestENIConfigThatComesLate(t *testing.T) {
	l := up(t, "")
	ctx := t.Context()
	d, err := l.Start("node-a", []string{"AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG=true", "MAX_ENI=2"}, l.Bin("vpc-ipamd"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Stop(syscall.SIGKILL) })
	conflist(t, l, "node-a", chain)
	says := func(words ...string) func() error {
		return func() error {
			out, _ := l.Exec(ctx, "node-a", l.Bin("vpcctl"), "status", "--json") // its exit status says the same
			for _, w := range words {
				if !strings.Contains(out, w) {
					return fmt.Errorf("status %q lacks %q", out, w)
				}
			}
			return nil
		}
	}
	if err := lab.Poll(ctx, says("unavailable", "ENIConfig us-west-2a or default", "/etc/vpc-cni/eniconfigs")); err != nil {
		t.Fatalf("%v\n%s", err, d.Log())
	}
	if _, err := scenario.CustomNetworking(ctx, l, "node-a"); err != nil {
		t.Fatal(err)
	}
	if err := lab.Poll(ctx, says(`"state": "serving"`)); err != nil {
		t.Fatalf("%v\n%s", err, d.Log())
	}
	p, err := l.AddPod(ctx, "node-a", "vpc", "late")
	if err != nil {
		t.Fatalf("%v\n%s", err, d.Log())
	}
	if !strings.HasPrefix(p.Addr.String(), "100.64.") {
		t.Errorf("the pod is %s, not in the pod subnet", p.Addr)
	}
}
