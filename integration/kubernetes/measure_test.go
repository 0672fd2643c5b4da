package kubernetes

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/integration/lab"
)

const many = 30

// start makes n pods at once, waits until all run, and checks that each has an
// address of the subnet and of its own.
func (c *cluster) start(t *testing.T, prefix string, n int, subnet netip.Prefix) (time.Duration, []string) {
	t.Helper()
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf("%s-%d", prefix, i))
	}
	ctx := limited(t, 5*time.Minute)
	took, addrs, err := c.runningOf(ctx, names, func() error { return c.post(ctx, names) })
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for name, text := range addrs {
		addr, err := netip.ParseAddr(text)
		if err != nil || !subnet.Contains(addr) || seen[text] {
			t.Errorf("%s has %q, which is not of %s or another's", name, text, subnet)
		}
		seen[text] = true
	}
	return took, names
}

func (c *cluster) post(ctx context.Context, names []string) error {
	failed := make(chan error, len(names))
	var all sync.WaitGroup
	for _, name := range names {
		all.Go(func() {
			if err := c.api.Post(ctx, pods, simplePod(name, nil), nil); err != nil {
				failed <- err
			}
		})
	}
	all.Wait()
	close(failed)
	return <-failed
}

func (c *cluster) removeAll(t *testing.T, names []string) {
	t.Helper()
	for _, n := range names {
		if err := c.api.Delete(t.Context(), pods+"/"+n); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range names {
		c.awaitGone(t, pods+"/"+n)
	}
}

// testThirty: all at once, each reached from another host, and gone again.
func (c *cluster) testThirty(t *testing.T) {
	took, names := c.start(t, "many", many, nodeSubnet)
	t.Logf("%d pods: %.1f s from creation until the last one is running", many, took.Seconds())
	for _, n := range names {
		p := c.await(t, pods+"/"+n, "running", time.Minute, running)
		c.reach(t, "node-b", c.vpcAddress(t, p))
	}
	c.removeAll(t, names)
	c.noRefusals(t)
}

// noRefusals fails the test for every sandbox that the kubelet could not make. It
// would try again after 10 s and more, and the pod would run in the end.
func (c *cluster) noRefusals(t *testing.T) {
	t.Helper()
	var events struct {
		Items []struct {
			Message        string
			InvolvedObject struct{ Name string }
		}
	}
	if err := c.api.Get(t.Context(), "/api/v1/namespaces/default/events?fieldSelector=reason%3DFailedCreatePodSandBox", &events); err != nil {
		t.Fatal(err)
	}
	for _, e := range events.Items {
		t.Errorf("%s: %s", e.InvolvedObject.Name, e.Message)
	}
}

// ptpSubnet is what upstream's addresses are of; only the node routes it.
var ptpSubnet = netip.MustParsePrefix("10.99.0.0/24")

const ptpConflist = `{"cniVersion": "1.0.0", "cniVersions": ["1.0.0", "1.1.0"], "name": "upstream", "plugins": [
  {"type": "ptp", "mtu": 9001, "ipam": {"type": "host-local", "subnet": "10.99.0.0/24", "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}, "backend": "nftables"}]}`

// useUpstream puts upstream's conflist before the chain's, or takes it away, and
// waits until containerd has seen it.
func (c *cluster) useUpstream(t *testing.T, use bool) {
	t.Helper()
	const file = confDir + "/05-upstream.conflist"
	if !use {
		if _, err := c.lab.Exec(t.Context(), nodeName, "rm", "-f", file); err != nil {
			t.Fatal(err)
		}
	} else {
		outside := filepath.Join(c.lab.RunDir(nodeName), "kubernetes/upstream")
		if err := os.WriteFile(outside, []byte(ptpConflist), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := c.lab.Exec(t.Context(), nodeName, "sh", "-c", "cp "+base+"/upstream "+file+".new && mv "+file+".new "+file); err != nil {
			t.Fatal(err)
		}
	}
	// A pod's address says which one containerd uses.
	want := nodeSubnet
	if use {
		want = ptpSubnet
	}
	err := lab.Poll(limited(t, time.Minute), func() error {
		_, addrs, err := c.runningOf(limited(t, time.Minute), []string{"look"}, func() error { return c.post(t.Context(), []string{"look"}) })
		if err != nil {
			return lab.Permanent(err)
		}
		c.removeAll(t, []string{"look"})
		if addr, err := netip.ParseAddr(addrs["look"]); err != nil || !want.Contains(addr) {
			return fmt.Errorf("the pod has %s, want one of %s", addrs["look"], want)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// rounds of the comparison; singles are the pods one after the other in each.
const (
	rounds  = 3
	singles = 3
)

// testBesidePtp measures pods of the chain beside those of upstream ptp with
// host-local, in turns. Both have portmap behind. Nothing is asserted of the
// ratio: the machine may be busy.
func (c *cluster) testBesidePtp(t *testing.T) {
	bin := filepath.Join(c.lab.RunDir(nodeName), "runtimes/cni")
	for _, p := range []string{"ptp", "host-local"} {
		if err := os.Symlink(c.lab.Bin(filepath.Join("cni", p)), filepath.Join(bin, p)); err != nil {
			t.Fatal(err)
		}
	}
	type figures struct{ One, Thirty []time.Duration }
	seen := map[string]*figures{"chain": {}, "ptp": {}}
	for range rounds {
		for _, what := range []string{"ptp", "chain"} {
			subnet := nodeSubnet
			if what == "ptp" {
				subnet = ptpSubnet
			}
			c.useUpstream(t, what == "ptp")
			f := seen[what]
			for range singles {
				took, names := c.start(t, "single", 1, subnet)
				f.One = append(f.One, took)
				c.removeAll(t, names)
			}
			took, names := c.start(t, "burst", many, subnet)
			f.Thirty = append(f.Thirty, took)
			c.removeAll(t, names)
		}
	}
	c.noRefusals(t)
	for _, what := range []string{"chain", "ptp"} {
		f := seen[what]
		raw, err := json.Marshal(map[string]string{"one pod": spread(f.One), "thirty pods": spread(f.Thirty)})
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s, seconds from creation to running, least / median / most: %s", what, raw)
	}
}

func spread(all []time.Duration) string {
	slices.Sort(all)
	var out []string
	for _, d := range []time.Duration{all[0], all[len(all)/2], all[len(all)-1]} {
		out = append(out, fmt.Sprintf("%.2f", d.Seconds()))
	}
	return strings.Join(out, " / ")
}
