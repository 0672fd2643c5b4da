package picture

import (
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/branch"
	"github.com/vpcchain/vpcchain/daemon/internal/decide"
	"github.com/vpcchain/vpcchain/daemon/internal/engine"
	"github.com/vpcchain/vpcchain/daemon/internal/eni"
	"github.com/vpcchain/vpcchain/daemon/internal/hostnet"
	"github.com/vpcchain/vpcchain/daemon/internal/pool"
	"github.com/vpcchain/vpcchain/daemon/internal/recent"
	"github.com/vpcchain/vpcchain/daemon/internal/trunking"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

func now() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }

// addr is the nth address of the tests' subnet.
func addr(n int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, 20, byte(n >> 8), byte(n)})
}

// node is one with no ENI.
func node(kind string, limits eni.Limits) (*engine.View, engine.Bearings) {
	return &engine.View{Links: map[string]hostnet.Link{}}, engine.Bearings{
		Node:   eni.Node{InstanceID: "i-0a1b2c3d4e5f60718", InstanceType: kind, AZ: "us-west-2a", VPCID: "vpc-0a1b2c3d", PrimaryIP: addr(10)},
		Limits: limits, Wish: decide.Wanted(decide.Input{Limits: limits, Targets: decide.Targets{WarmIP: 4}, Waiters: 2}),
	}
}

func held(a netip.Addr, eniID, namespace, name string, ago time.Duration) *pool.Allocation {
	id := fmt.Sprintf("%064x", a.As4())
	return &pool.Allocation{
		Attachment: vpcnet.Attachment{Network: "vpc", ContainerID: id, IfName: "eth0"}, Addr: a, ENI: eniID,
		Pod: pool.Pod{Namespace: namespace, Name: name}, Since: now().Add(-ago),
	}
}

// add adds an ENI whose addresses have the states; those of prefixes come 16 by 16.
func add(v *engine.View, device int, ready bool, reason string, prefixes bool, states ...pool.State) *pool.ENI {
	id := fmt.Sprintf("eni-0%016d", device)
	first := 256 * (device + 1)
	e := pool.ENI{Ready: ready, Reason: reason, ENI: eni.ENI{
		ID: id, Device: device, Primary: addr(first), SubnetID: "subnet-0a", Subnet: netip.MustParsePrefix("10.20.0.0/16"), MAC: fmt.Sprintf("02:00:00:00:00:%02x", device),
	}}
	if ready {
		v.Links[id] = hostnet.Link{Name: fmt.Sprint("eth", device), MTU: 9001, Ready: true}
	}
	for i, st := range states {
		a := pool.Address{Addr: addr(first + 16 + i), State: st}
		if prefixes {
			a.Prefix = netip.PrefixFrom(a.Addr, 28).Masked()
			if i%16 == 0 {
				e.Prefixes = append(e.Prefixes, a.Prefix)
			}
		} else {
			e.Addresses = append(e.Addresses, a.Addr)
		}
		switch st {
		case pool.Used:
			a.Holder = held(a.Addr, id, "shop", fmt.Sprintf("web-%d-%d", device, i), time.Duration(i+1)*7*time.Minute)
		case pool.Cooling:
			a.Freed = now().Add(-12 * time.Second)
		case pool.Withheld:
			a.Note = "the kernel uses it, and nobody holds it"
		case pool.Reserved:
			e.Reserved = true
		case pool.Free:
		}
		e.Slots = append(e.Slots, a)
	}
	v.Pool.ENIs = append(v.Pool.ENIs, e)
	return &v.Pool.ENIs[len(v.Pool.ENIs)-1]
}

func some(st pool.State, n int) []pool.State {
	out := make([]pool.State, n)
	for i := range out {
		out[i] = st
	}
	return out
}

// sample is a state of a node that the goldens show.
type sample struct {
	name   string
	view   engine.View
	node   engine.Bearings
	events []recent.Record
	asked  Asked
}

func (s sample) page() View {
	v := Of(s.view, s.node, s.events, now())
	v.Asked = s.asked
	return v
}

func samples() []sample { return []sample{growing(), full(), branches()} }

// growing is a node whose pool is empty while pods come.
func growing() sample {
	v, b := node("m5.large", eni.Limits{ENIs: 3, IPv4PerENI: 10})
	add(v, 0, true, "", false, some(pool.Used, 9)...)
	add(v, 1, true, "", false, append(some(pool.Used, 5), pool.Cooling, pool.Cooling)...)
	add(v, 2, false, "its link is not there yet", false, some(pool.Free, 6)...)
	v.Waiters, v.Demand = 3, 1
	v.Plan = []string{"assign 3 addresses to eni-00000000000000002"}
	b.Hold, b.Lasts = "EC2 is tried again: RequestLimitExceeded", 3500*time.Millisecond
	b.Status = engine.Status{State: engine.Limited, Reason: "growing fails: RequestLimitExceeded: Request limit exceeded.; trying again"}
	return sample{"growing", *v, b, []recent.Record{
		{At: now().Add(-time.Second), Level: slog.LevelWarn, Text: "assign 3 addresses to eni-00000000000000002", Attrs: "error=RequestLimitExceeded: Request limit exceeded. again_in=1.2s"},
		{At: now().Add(-2 * time.Second), Level: recent.Pod, Text: "ADD: address given", Attrs: "pod=shop/web-1-4 address=10.20.2.20 eni=eni-00000000000000001 took=3ms"},
		{At: now().Add(-3 * time.Minute), Level: slog.LevelInfo, Text: "create and attach an ENI with 6 addresses", Attrs: "took=2.1s"},
		{At: now().Add(-time.Hour), Level: slog.LevelError, Text: "ENIs of running pods are gone", Attrs: "enis=[eni-9]"},
	}, Asked{Src: "10.20.2.16", Dst: "52.78.83.169", Port: "443", Answer: "10.20.2.16 (pod) to 52.78.83.169 port 443\n  rule    1024: from all fwmark 0x80/0x80 lookup main\n          -> decides\nleaves by eth0 with source 10.20.0.10, SNAT: it is outside\n"}}
}

// full has no address left, by prefixes.
func full() sample {
	v, b := node("m5.large", eni.Limits{ENIs: 3, IPv4PerENI: 10})
	b.Prefixes = true
	add(v, 0, true, "", true, some(pool.Used, 32)...)
	last := append(some(pool.Used, 11), some(pool.Cooling, 5)...)
	add(v, 1, true, "", true, last...)
	b.Status = engine.Status{State: engine.Unavailable, Reason: "no free address: 2 ENIs with 48 addresses: 43 used, 5 resting after use"}
	return sample{"full", *v, b, nil, Asked{Off: "explain is not here."}}
}

// branches has security groups of its pods', and every doubt there is.
func branches() sample {
	v, b := node("m5.large", eni.Limits{ENIs: 3, IPv4PerENI: 10, Branches: 9})
	add(v, 0, true, "left alone: custom networking", false, pool.Reserved, pool.Reserved)
	doubted := add(v, 1, true, "", false, pool.Used, pool.Withheld, pool.Free, pool.Free, pool.Cooling)
	doubted.Slots[0].Note = "EC2 does not list it; it is asked again"
	trunk := add(v, 2, true, "left alone: it is the trunk of the branch ENIs", false)
	trunk.Reserved = true
	v.Pool.Lost = []pool.Allocation{*held(addr(9999), "eni-gone", "shop", "orphan", 2*time.Hour)}
	trunks := trunking.View{Trunk: trunking.Trunk{ENI: trunk.ENI, Ready: true, MTU: 9001}, Limit: 9}
	for i, st := range []branch.State{branch.InUse, branch.Warm, branch.Cooling, branch.Making, branch.Going, branch.InDoubt} {
		r := branch.Branch{VLAN: i + 1, ENI: fmt.Sprint("eni-b", i), Addr: addr(5000 + i), Kind: branch.KindOf("subnet-0a", []string{"sg-db"})}
		if st == branch.InUse {
			r.Holder = &branch.Holder{Attachment: vpcnet.Attachment{Network: "vpc", ContainerID: "c0ffee", IfName: "eth0"}, Pod: pool.Pod{Namespace: "shop", Name: "db-0"}, Since: now().Add(-time.Minute)}
		}
		shown := trunking.Shown{Branch: r, State: st}
		if st == branch.InDoubt {
			shown.Note = "a link of the kernel has it"
		}
		trunks.Branches = append(trunks.Branches, shown)
	}
	v.Branches = &trunks
	b.Custom, b.PodENI, b.Enforcing, b.Cordoned = true, true, "strict", true
	return sample{"branches", *v, b, nil, Asked{Fault: `"x" is no IPv4 address, not "node", and no NAMESPACE/POD`, Src: "x", Dst: "node"}}
}
