package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"github.com/vpcchain/vpcchain/daemon/internal/check"
	"github.com/vpcchain/vpcchain/daemon/internal/explain"
	"github.com/vpcchain/vpcchain/daemon/internal/pool"
	"github.com/vpcchain/vpcchain/daemon/internal/state"
	"github.com/vpcchain/vpcchain/pkg/ipamapi"
	"github.com/vpcchain/vpcchain/pkg/nodefacts"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

func ok() *ipamapi.StatusReply { return &ipamapi.StatusReply{State: ipamapi.StatusReply_STATE_OK} }

// busyNode has one of everything.
func busyNode() *fakeDaemon {
	web := &ipamapi.Attachment{Network: "vpc", ContainerId: "c1", Ifname: "eth0"}
	return &fakeDaemon{
		status: &ipamapi.StatusReply{State: ipamapi.StatusReply_STATE_LIMITED, Reason: "growing fails: EC2 limits the account's calls"},
		node: &ipamapi.NodeReply{
			Instance: "i-0123", Type: "m5.large", Zone: "us-west-2a", Vpc: "vpc-1", Primary: "10.20.11.162",
			Limits:  &ipamapi.NodeLimits{Enis: 3, Ipv4PerEni: 10, Hypervisor: "nitro", Branches: 9},
			Mode:    &ipamapi.NodeMode{Prefixes: true, Custom: true, PodEni: true, Enforcing: "strict", Cordoned: true},
			Targets: &ipamapi.NodeTargets{WarmEni: 1, WarmPrefix: 1, WarmIp: 5, MinimumIp: 2, MaxEni: 3, MaxPods: 110},
			Goal:    &ipamapi.NodeGoal{Wanted: 9, Has: 6, Setting: "WARM_IP_TARGET", Text: "2 in use + 2 that ADDs wait for + 5 of WARM_IP_TARGET"},
			Hold:    "EC2 is tried again: RequestLimitExceeded", HoldMs: 4200, Status: ok(),
		},
		pool: &ipamapi.PoolReply{
			Totals: &ipamapi.PoolTotals{Addresses: 5, Used: 2, Cooling: 1, Available: 2}, Plan: []string{"assign 3 addresses to eni-1"}, Waiters: 2, Demand: 1,
			Enis: []*ipamapi.PoolENI{
				{Eni: &ipamapi.ENI{Id: "eni-0", Mac: "02:00:00:00:00:01", Mtu: 9001}, Primary: "10.20.11.162", SubnetId: "subnet-1", Link: "eth0", Table: 254, Ready: true, Addresses: []*ipamapi.PoolAddress{
					{Address: "10.20.11.4", State: ipamapi.PoolAddress_STATE_USED, Attachment: web, Pod: &ipamapi.Pod{Namespace: "default", Name: "web-0"}, Since: 1_795_000_000, Link: "enia1"},
					{Address: "10.20.11.5", State: ipamapi.PoolAddress_STATE_FREE},
				}, Prefixes: []*ipamapi.PoolPrefix{{Prefix: "10.20.11.16/28"}}},
				{Eni: &ipamapi.ENI{Id: "eni-1", Device: 1}, Primary: "10.20.12.9", SubnetId: "subnet-2", Table: 2, Note: "no link has its MAC yet"},
				{Eni: &ipamapi.ENI{Id: "eni-2", Device: 2}, Primary: "10.20.12.10", SubnetId: "subnet-2", Table: 3, Link: "eth2", Ready: true, Drain: &ipamapi.PoolDrain{Since: 1_795_000_000, Pods: 1, Waits: "1 pods to go"}},
			},
			Lost: []*ipamapi.PoolAddress{{Address: "10.20.11.9", State: ipamapi.PoolAddress_STATE_USED, Note: "on no ENI any more", Attachment: &ipamapi.Attachment{Network: "vpc", ContainerId: "c9", Ifname: "eth0"}}},
			Trunk: &ipamapi.PoolTrunk{Eni: &ipamapi.ENI{Id: "eni-t"}, Ready: true, Limit: 9, Waiters: 1, Branches: []*ipamapi.PoolBranch{
				{
					Branch: &ipamapi.Branch{Id: "eni-b", VlanId: 7}, Address: "10.20.13.4", State: "in use", Since: 1_795_000_060, Link: "enib7",
					Attachment: &ipamapi.Attachment{Network: "vpc", ContainerId: "c2", Ifname: "eth0"}, Pod: &ipamapi.Pod{Namespace: "default", Name: "db-0"},
				},
				{Branch: &ipamapi.Branch{Id: "eni-w", VlanId: 8}, State: "warm"},
			}},
		},
		snat: &ipamapi.SnatReply{Network: "vpc", Repairs: 3, Settings: map[string]string{"connmark": "0x80"}},
	}
}

func TestStatus(t *testing.T) {
	idle := &fakeDaemon{
		status: ok(), snat: &ipamapi.SnatReply{}, pool: &ipamapi.PoolReply{Totals: &ipamapi.PoolTotals{}},
		node: &ipamapi.NodeReply{Instance: "i-1", Type: "t3.small", Primary: "10.0.0.1", Limits: &ipamapi.NodeLimits{Enis: 3}, Goal: &ipamapi.NodeGoal{Wanted: 1, Has: 1, Text: "1 that is free, as no target is set"}},
	}
	for name, d := range map[string]struct {
		daemon *fakeDaemon
		code   int
	}{
		"busy": {busyNode(), exitLimited}, "idle": {idle, 0},
		"old":  {&fakeDaemon{status: ok()}, 0},
		"full": {&fakeDaemon{status: &ipamapi.StatusReply{State: ipamapi.StatusReply_STATE_UNAVAILABLE, Reason: "no free address"}}, exitUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			ctl := d.daemon.start(t)
			for form, line := range map[string]string{".txt": "status", ".json": "status --json"} {
				out, code, err := ctl(line)
				if code != d.code || err != nil {
					t.Errorf("%s: %d, %v", line, code, err)
				}
				golden(t, "status-"+name+form, out)
			}
		})
	}
}

func TestPodsOfTheDaemon(t *testing.T) {
	d := busyNode()
	out, code, err := d.start(t)("pods --json")
	if code != 0 || err != nil {
		t.Fatalf("%d, %v", code, err)
	}
	golden(t, "pods.json", out)
	var text bytes.Buffer
	if err := podsOf(d.pool).print(&text, time.Unix(1_795_003_600, 0)); err != nil {
		t.Fatal(err)
	}
	golden(t, "pods.txt", text.String())
}

// namespace puts the test into a network namespace of its own, which ends with it.
func namespace(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		const reason = "making network namespaces needs root"
		if strings.Contains(os.Getenv("VPCCHAIN_REQUIRE"), "root") {
			t.Fatal(reason)
		}
		t.Skip(reason)
	}
	runtime.LockOSThread()
	ns, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ns.Close() })
}

// veth makes a host veth as vpc-veth leaves it, with a route to the address if there is one.
func veth(t *testing.T, name, alias, addr string) {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "p" + name})
	l, lerr := netlink.LinkByName(name)
	if err := errors.Join(err, lerr); err != nil {
		t.Fatal(err)
	}
	if alias != "" {
		err = netlink.LinkSetAlias(l, alias)
	}
	if err := errors.Join(err, netlink.LinkSetUp(l)); err != nil {
		t.Fatal(err)
	}
	if addr == "" {
		return
	}
	dst, err := netlink.ParseIPNet(addr + "/32")
	if err = errors.Join(err, netlink.RouteAdd(&netlink.Route{LinkIndex: l.Attrs().Index, Dst: dst, Table: vpcnet.TablePods, Scope: netlink.SCOPE_LINK})); err != nil {
		t.Fatal(err)
	}
}

// With the daemon dead the kernel tells of the pods, the state file their names,
// the node facts whose node it is, and the files whether a daemon runs.
func TestWithoutDaemon(t *testing.T) {
	namespace(t)
	dir := t.TempDir()
	ctl := func(line string) (string, int, error) {
		var out bytes.Buffer
		code, err := run(t.Context(), append(strings.Fields(line), "--socket", filepath.Join(dir, "s"), "--state-dir", dir), os.Getenv, &out)
		return strings.ReplaceAll(out.String(), dir, "DIR"), code, err
	}
	status := func(want ...string) {
		t.Helper()
		out, code, err := ctl("status")
		if code != exitError || err == nil {
			t.Errorf("status without a daemon: %d, %v", code, err)
		}
		for _, w := range want {
			if !strings.Contains(out, w) {
				t.Errorf("status has no %q:\n%s", w, out)
			}
		}
	}
	status("none has run since the node started", "no pods")
	veth(t, "enia1", "vpc/c1/eth0", "10.0.0.4")
	veth(t, "enib2", "vpc/c2/eth0", "")
	veth(t, "other", "", "10.0.0.6")
	s, err := state.Open(filepath.Join(dir, "ipamd.db"))
	if err != nil {
		t.Fatal(err)
	}
	since := time.Unix(1_795_000_000, 0).UTC()
	if err := s.Hold(pool.Allocation{
		Attachment: vpcnet.Attachment{Network: "vpc", ContainerID: "c1", IfName: "eth0"}, Addr: address(t, "10.0.0.4"), ENI: "eni-1", Since: since,
		Pod: pool.Pod{Namespace: "ns", Name: "web"},
	}); err != nil {
		t.Fatal(err)
	}
	facts := nodefacts.Facts{InstanceID: "i-7", PrimaryIP: address(t, "10.0.0.1")}
	if err := nodefacts.Write(filepath.Join(dir, "node.json"), facts); err != nil {
		t.Fatal(err)
	}
	status("one runs, and is starting, stopping or stuck", "i-7 10.0.0.1", "10.0.0.4", "from the kernel: vpc-ipamd")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	status("none runs: start it", "ns/web", "with names and times of the state file")
	out, code, err := ctl("pods --json")
	var got podsView
	if err := errors.Join(err, json.Unmarshal([]byte(out), &got)); err != nil || code != 0 {
		t.Fatalf("%d, %v\n%s", code, err, out)
	}
	want := podsView{Source: "kernel", Books: true, Pods: []podView{
		{Network: "vpc", ContainerID: "c2", IfName: "eth0", Link: "enib2"},
		{Network: "vpc", ContainerID: "c1", IfName: "eth0", Link: "enia1", Address: "10.0.0.4", Namespace: "ns", Pod: "web", ENI: "eni-1", Since: &since},
	}}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	var v statusView
	if out, _, _ := ctl("status --json"); json.Unmarshal([]byte(out), &v) != nil || v.State != "unreachable" || v.Source != "kernel" || !slices.EqualFunc(v.Pods.Pods, want.Pods, func(a, b podView) bool { return cmp.Equal(a, b) }) {
		t.Errorf("status --json: %+v", v)
	}
	// What needs the daemon says so, and where to go on.
	for _, line := range []string{"pool", "snat"} {
		var out bytes.Buffer
		code, err := run(t.Context(), []string{line, "--socket", filepath.Join(dir, "s")}, os.Getenv, &out)
		if code != exitError || err == nil || !strings.Contains(err.Error(), "no such file or directory; `vpcctl status`") {
			t.Errorf("%s: %d, %v", line, code, err)
		}
	}
}

// The forms of the others, text and JSON, of one node that has everything.
func TestPoolAndSNAT(t *testing.T) {
	ctl := busyNode().start(t)
	for _, name := range []string{"pool", "snat"} {
		for form, line := range map[string]string{".txt": name, ".json": name + " --json"} {
			out, code, err := ctl(line)
			if code != 0 || err != nil {
				t.Errorf("%s: %d, %v", line, code, err)
			}
			golden(t, name+form, out)
		}
	}
}

// The names that explain and check answer in JSON with.
func TestStableNames(t *testing.T) {
	addr := address(t, "10.0.0.4")
	var out bytes.Buffer
	for _, v := range []any{
		explain.Answer{
			Question: explain.Question{Src: addr, Dst: addr.Next(), Port: 80}, From: "pod", Doubts: []string{"doubt"},
			Steps: []explain.Step{{Stage: "rule", Object: "o", Effect: "e", Priority: 1024, Table: 254, Link: "eth0", Mark: 128, Source: addr, ENI: "eni-0"}},
			Verdict: explain.Verdict{
				Outcome: explain.Leaves, Link: "eth0", ENI: "eni-0", Gateway: addr, Source: addr, SNAT: true, Mark: 128, Refused: "r", Astray: true, Why: "w",
			},
		},
		check.Report{Differences: []check.Difference{{Area: "kernel", Object: "rule 512", Text: "t", Repair: true}}, Notes: []string{"n"}, Fixed: []string{"f"}},
	} {
		if err := printJSON(&out, v); err != nil {
			t.Fatal(err)
		}
	}
	golden(t, "names.json", out.String())
}
