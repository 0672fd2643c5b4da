package pool

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/eni"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

func TestENIsThatAreLeftAlone(t *testing.T) {
	a, b := netip.MustParseAddr("10.0.0.11"), netip.MustParseAddr("10.0.1.17")
	one := eni.ENI{ID: "eni-1", Device: 1, Addresses: []netip.Addr{a}}
	block := eni.ENI{ID: "eni-1", Device: 1, Prefixes: []netip.Prefix{netip.MustParsePrefix("10.0.1.16/28")}}
	with := func(e eni.ENI, tags map[string]string, untold bool) eni.ENI {
		e.Tags, e.Untold = tags, untold
		return e
	}
	no := map[string]string{eni.TagNoManage: "true"}
	primary := one
	primary.Device = 0
	for name, tc := range map[string]struct {
		e    eni.ENI
		held netip.Addr // from before
		rest netip.Addr
		want string // why it is left alone
	}{
		"plain":                       {e: one},
		"the tag":                     {e: with(one, no, false), want: "left alone: it has the tag " + eni.TagNoManage},
		"another value":               {e: with(one, map[string]string{eni.TagNoManage: "false"}, false)},
		"the primary one":             {e: with(primary, no, true)},
		"untold":                      {e: with(one, nil, true), want: "left alone: EC2 has not told"},
		"untold, an address is held":  {e: with(one, nil, true), held: a},
		"untold, an address rests":    {e: with(one, nil, true), rest: a},
		"untold, another's is held":   {e: with(one, nil, true), held: b, want: "EC2 has not told"},
		"untold, one of a block held": {e: with(block, nil, true), held: b},
		"untold, a block":             {e: with(block, nil, true), want: "EC2 has not told"},
		"the tag beside a pod":        {e: with(one, no, false), held: a, want: "it has the tag"},
	} {
		t.Run(name, func(t *testing.T) {
			now := time.Now()
			p := New(0)
			var held []Allocation
			if tc.held.IsValid() {
				held = []Allocation{{Attachment: vpcnet.Attachment{Network: "n", ContainerID: "old", IfName: "eth0"}, Addr: tc.held, ENI: "eni-1"}}
			}
			freed := map[netip.Addr]time.Time{}
			if tc.rest.IsValid() {
				freed[tc.rest] = now.Add(-time.Hour)
			}
			if err := p.Restore(held, freed); err != nil {
				t.Fatal(err)
			}
			p.SetENIs([]eni.ENI{tc.e}, now)
			p.SetReady("eni-1", true, "")
			m := p.Snapshot(now).ENIs[0]
			if m.Reserved != (tc.want != "") || tc.want != "" && !strings.Contains(m.Reason, tc.want) {
				t.Errorf("reserved %t, %q; want %q", m.Reserved, m.Reason, tc.want)
			}
			if tc.want == "" {
				return
			}
			if got, ok := p.Assign(vpcnet.Attachment{Network: "n", ContainerID: "new", IfName: "eth0"}, Pod{}, now); ok {
				t.Errorf("a new pod has %s", got.Addr)
			}
			if _, ok := p.TakeENI("eni-1"); ok {
				t.Error("it may be deleted")
			}
			if n := m.Count(Free); n != 0 {
				t.Errorf("%d addresses are free", n)
			}
		})
	}
}

func TestSetGroups(t *testing.T) {
	p := New(0)
	p.SetENIs([]eni.ENI{{ID: "eni-1", Device: 1}}, time.Now())
	p.SetGroups("eni-1", []string{"sg-1"})
	p.SetGroups("eni-2", []string{"sg-1"})
	if m := p.Snapshot(time.Now()).ENIs; len(m) != 1 || len(m[0].Groups) != 1 {
		t.Errorf("ENIs %+v", m)
	}
}

// An ENI that EC2 does not list any more keeps its pods and gets no new ones.
func TestMissingENITakesNoPods(t *testing.T) {
	p, now := New(0), time.Now()
	addrs := []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")}
	e := eni.ENI{ID: "eni-1", Device: 1, Addresses: addrs}
	p.SetENIs([]eni.ENI{e}, now)
	p.SetReady(e.ID, true, "")
	a := vpcnet.Attachment{Network: "vpc", ContainerID: "a", IfName: "eth0"}
	if _, ok := p.Assign(a, Pod{}, now); !ok {
		t.Fatal("no address")
	}
	e.Missing = true
	p.SetENIs([]eni.ENI{e}, now)
	a.ContainerID = "b"
	if h, ok := p.Assign(a, Pod{}, now); ok {
		t.Errorf("gave %s of an ENI that may be gone", h.Addr)
	}
	if s := p.Snapshot(now); !s.ENIs[0].Reserved || s.Count(Used) != 1 {
		t.Errorf("the snapshot has %+v", s.ENIs)
	}
}
