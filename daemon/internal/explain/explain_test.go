package explain

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpcchain/vpcchain/pkg/snat"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

func at(text string) netip.Addr { return netip.MustParseAddr(text) }

func in(text string) netip.Prefix { return netip.MustParsePrefix(text) }

// The ends of the connections of the tests.
var (
	node    = at("10.0.0.5")
	second  = at("10.0.0.9")  // primary address of the second ENI
	podA    = at("10.0.0.20") // on the primary ENI
	podB    = at("10.0.0.30") // on the second one
	web     = at("52.1.2.3")
	insider = at("10.0.9.9")
)

// someNode has two ENIs, a pod on each, and the SNAT of the chain.
func someNode() Snapshot {
	internal := []netip.Prefix{in("10.0.0.0/16")}
	lo, eth0, eth1 := Link{Index: 1, Name: "lo", Up: true}, Link{Index: 2, Name: "eth0", MAC: "m0", Up: true, Forwarding: true, RPFilter: 2}, Link{Index: 3, Name: "eth1", MAC: "m1", Up: true, Forwarding: true}
	vethA := Link{Index: 4, Name: "eniaaa", Alias: "vpc/a/eth0", Up: true, Forwarding: true}
	vethB := Link{Index: 5, Name: "enibbb", Alias: "vpc/b/eth0", Up: true, Forwarding: true}
	pods := func(a netip.Addr, l Link) Route {
		return Route{Table: vpcnet.TablePods, Kind: unicast, Dst: vpcnet.Host(a), Link: l.Index, Dev: l.Name}
	}
	return Snapshot{
		Primary: "m0", Links: []Link{lo, eth0, eth1, vethA, vethB},
		Rules: []Rule{
			{Priority: 0, Table: tableLocal},
			{Priority: 512, Table: vpcnet.TablePods},
			{Priority: 1024, Mark: 0x80, Mask: 0x80, Table: vpcnet.TableMain},
			{Priority: 1536, Src: vpcnet.Host(podB), Table: 2},
			{Priority: 32766, Table: vpcnet.TableMain},
		},
		Routes: []Route{
			{Table: tableLocal, Kind: local, Dst: vpcnet.Host(node), Link: 2, Dev: "eth0"},
			{Table: tableLocal, Kind: local, Dst: vpcnet.Host(second), Link: 3, Dev: "eth1"},
			pods(podA, vethA), pods(podB, vethB),
			{Table: vpcnet.TableMain, Kind: unicast, Dst: in("0.0.0.0/0"), Gw: at("10.0.0.1"), Link: 2, Dev: "eth0"},
			{Table: vpcnet.TableMain, Kind: unicast, Dst: in("10.0.0.0/24"), Link: 2, Dev: "eth0"},
			{Table: 2, Kind: unicast, Dst: in("0.0.0.0/0"), Gw: at("10.0.0.1"), Link: 3, Dev: "eth1"},
		},
		NAT: []snat.Chain{
			{Name: "nftables ip vpc-snat outbound", Hook: "prerouting", Prio: -90, Rules: []snat.Line{
				{Where: "outbound rule 1", In: snat.Name{Text: "eni", Prefix: true}, Dst: internal, DstNot: true, Mark: 0x80, Conn: 0x80},
			}},
			{Name: "POSTROUTING", Hook: "postrouting", Prio: 100, NAT: true, Rules: []snat.Line{{Where: "POSTROUTING rule 1", Target: "AWS-SNAT-CHAIN-0"}}},
			{Name: "AWS-SNAT-CHAIN-0", NAT: true, Rules: []snat.Line{{Where: "AWS-SNAT-CHAIN-0 rule 1", Dst: internal, DstNot: true, Target: "AWS-SNAT-CHAIN-1"}}},
			{Name: "AWS-SNAT-CHAIN-1", NAT: true, Rules: []snat.Line{{Where: "AWS-SNAT-CHAIN-1 rule 1", Out: snat.Name{Text: "vlan", Prefix: true, Not: true}, Local: snat.No, To: node}}},
		},
		ENIs: []ENI{
			{ID: "eni-0", MAC: "m0", Addresses: []netip.Addr{node, podA}, Pods: map[netip.Addr]Pod{podA: {Attachment: vpcnet.Attachment{Network: "vpc", ContainerID: "a", IfName: "eth0"}}}},
			{ID: "eni-1", MAC: "m1", Device: 1, Addresses: []netip.Addr{second, podB}, Pods: map[netip.Addr]Pod{podB: {Attachment: vpcnet.Attachment{Network: "vpc", ContainerID: "b", IfName: "eth0"}}}},
		},
	}
}

func noSNAT(s *Snapshot) { s.NAT = nil }

func rp(mode int) func(*Snapshot) {
	return func(s *Snapshot) {
		for i := range s.Links {
			s.Links[i].RPFilter = mode
		}
	}
}

func without(priority int) func(*Snapshot) {
	return func(s *Snapshot) {
		for i, r := range s.Rules {
			if r.Priority == priority {
				s.Rules = append(s.Rules[:i:i], s.Rules[i+1:]...)
				return
			}
		}
	}
}

func TestExplain(t *testing.T) {
	asItIs := func(*Snapshot) {}
	for name, tc := range map[string]struct {
		change   func(*Snapshot)
		src, dst netip.Addr
		want     string // outcome, link, ENI, source
		why      string
	}{
		"to the internet":                {asItIs, podB, web, "leaves eth0 eni-0 10.0.0.5", "AWS_VPC_K8S_CNI_EXTERNALSNAT"},
		"to the internet, external SNAT": {noSNAT, podB, web, "leaves eth1 eni-1 10.0.0.30", "no SNAT of this chain"},
		"inside the VPC":                 {asItIs, podB, insider, "leaves eth1 eni-1 10.0.0.30", "counts as inside"},
		"inside, on the primary ENI":     {asItIs, podA, insider, "leaves eth0 eni-0 10.0.0.20", "AWS-SNAT-CHAIN-0 rule 1"},
		"to a pod of the node":           {asItIs, podB, podA, "to pod eniaaa  10.0.0.30", "a pod of this node"},
		"the node to a pod":              {asItIs, node, podA, "to pod eniaaa  10.0.0.5", ""},
		"to the node":                    {asItIs, podA, node, "to node   10.0.0.20", "address of this node"},
		"from outside to a pod":          {asItIs, insider, podB, "to pod enibbb  10.0.9.9", ""},
		"from outside, strict at eth1":   {func(s *Snapshot) { s.Links[2].RPFilter = 1; without(1536)(s) }, insider, podB, "dropped   10.0.9.9", "rp_filter 1 of eth1"},
		"from outside, the daemon is dead": {func(s *Snapshot) {
			s.Links[2].RPFilter, s.ENIs, s.Homes = 1, nil, []Home{{in("10.0.0.30/32"), "m1"}}
			without(1536)(s)
		}, insider, podB, "dropped   10.0.9.9", "rp_filter 1 of eth1"},
		"from outside to a branch's pod": {func(s *Snapshot) {
			s.Links = append(s.Links, Link{Index: 6, Name: "vlan.eth.7", Alias: "vpc/b/eth0", RPFilter: 1, Forwarding: true})
		}, insider, podB, "dropped   10.0.9.9", "rp_filter 1 of vlan.eth.7"},
		"a strict branch's pod, strict filters": {func(s *Snapshot) {
			s.Links[2].Name, s.Routes[6].Dev, s.Routes[3].Table = "vlan.eth.7", "vlan.eth.7", 2
			s.Rules = append([]Rule{{Priority: 10, In: "enibbb", Table: 2}, {Priority: 10, In: "vlan.eth.7", Table: 2}}, s.Rules...)
			rp(1)(s)
		}, podB, insider, "leaves vlan.eth.7 eni-1 10.0.0.30", ""},
		"to a strict branch's pod, strict filters": {func(s *Snapshot) {
			s.Links[2].Name, s.Links[2].Alias, s.Routes[6].Dev, s.Routes[3].Table = "vlan.eth.7", "vpc/b/eth0", "vlan.eth.7", 2
			s.Rules = append([]Rule{{Priority: 10, In: "enibbb", Table: 2}, {Priority: 10, In: "vlan.eth.7", Table: 2}}, s.Rules...)
			rp(1)(s)
		}, insider, podB, "to pod enibbb  10.0.9.9", ""},
		"loose filters":               {rp(2), podB, web, "leaves eth0 eni-0 10.0.0.5", ""},
		"strict filters, out":         {rp(1), podB, web, "leaves eth0 eni-0 10.0.0.5", ""},
		"no pod rule, filters off":    {func(s *Snapshot) { without(512)(s) }, podB, insider, "leaves eth1 eni-1 10.0.0.30", ""},
		"no pod rule, strict filters": {func(s *Snapshot) { without(512)(s); rp(1)(s) }, podB, insider, "dropped   10.0.0.30", "rp_filter"},
		"no rule 1536":                {without(1536), podB, insider, "leaves eth0 eni-0 10.0.0.30", "source check"},
		"no rule 1024":                {without(1024), podB, web, "leaves eth1 eni-1 10.0.0.5", "source check"},
		"no pod rule, to a pod":       {without(512), node, podB, "leaves eth0 eni-0 10.0.0.5", "no rule led to its route"},
		"no forwarding":               {func(s *Snapshot) { s.Links[4].Forwarding = false }, podB, insider, "dropped   10.0.0.30", "ip_forward"},
		"the pod's link is down":      {func(s *Snapshot) { s.Links[4].Up = false }, podB, insider, "dropped   10.0.0.30", "is down"},
		"a rule that refuses":         {func(s *Snapshot) { s.Rules[1] = Rule{Priority: 1, Drop: "prohibit"} }, podB, insider, "dropped   10.0.0.30", "prohibit"},
		"a route that refuses":        {func(s *Snapshot) { s.Routes[6].Kind = "blackhole" }, podB, insider, "dropped   10.0.0.30", "blackhole"},
		"a route that leads on":       {func(s *Snapshot) { s.Routes[6].Kind = throw }, podB, insider, "leaves eth0 eni-0 10.0.0.30", "source check"},
		"no route":                    {func(s *Snapshot) { s.Routes = s.Routes[:4] }, podB, insider, "dropped   10.0.0.30", "no route"},
		"a rule by input link":        {func(s *Snapshot) { s.Rules[1].In = "eth1" }, podB, podA, "leaves eth1 eni-1 10.0.0.30", ""},
		"a rule that excepts":         {func(s *Snapshot) { s.Rules[3].Not = true }, podB, insider, "leaves eth0 eni-0 10.0.0.30", ""},
		"the pod's route is gone":     {func(s *Snapshot) { s.Routes[3] = s.Routes[2] }, podB, insider, "leaves eth1 eni-1 10.0.0.30", ""},
		"a stranger without a way in": {func(s *Snapshot) { s.Primary, s.ENIs = "", nil }, insider, web, "dropped   10.0.9.9", "neither a pod"},
		"the daemon is dead":          {func(s *Snapshot) { s.ENIs = nil }, podB, web, "leaves eth0  10.0.0.5", ""},
		"two SNATs, the first one decides": {func(s *Snapshot) {
			s.NAT = append(s.NAT, snat.Chain{Name: "x", Hook: "postrouting", Prio: 100, NAT: true, Rules: []snat.Line{{To: at("9.9.9.9")}}})
		}, podB, web, "leaves eth0 eni-0 10.0.0.5", ""},
		"a return before the SNAT": {func(s *Snapshot) {
			s.NAT[3].Rules = append([]snat.Line{{Where: "SNAT", Dst: []netip.Prefix{in("52.0.0.0/8")}, Return: true}}, s.NAT[3].Rules...)
		}, podB, web, "leaves eth0 eni-0 10.0.0.30", "source check"},
		"an accept before the SNAT":       {func(s *Snapshot) { s.NAT[1].Rules = append([]snat.Line{{Accept: true}}, s.NAT[1].Rules...) }, podA, web, "leaves eth0 eni-0 10.0.0.20", "no rule of the outbound NAT"},
		"chains that lead to one another": {func(s *Snapshot) { s.NAT[3].Rules[0] = snat.Line{Target: "AWS-SNAT-CHAIN-0"} }, podA, web, "leaves eth0 eni-0 10.0.0.20", ""},
		"a smaller metric": {func(s *Snapshot) {
			r := s.Routes[6]
			r.Dev, r.Link, r.Metric = "eth0", 2, 10
			s.Routes[6].Metric = 20
			s.Routes = append(s.Routes, r)
		}, podB, insider, "leaves eth0 eni-0 10.0.0.30", "source check"},
		"a branch's pod, by its own device": {func(s *Snapshot) {
			s.Links[2].Name, s.Routes[6].Dev = "vlan.eth.7", "vlan.eth.7"
			s.Branches = []Branch{{ID: "eni-b", Link: "vlan.eth.7", Groups: []string{"sg-1"}}}
		}, podB, insider, "leaves vlan.eth.7 eni-b 10.0.0.30", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := someNode()
			tc.change(&s)
			a := Explain(s, Question{Src: tc.src, Dst: tc.dst, Port: 443})
			v := a.Verdict
			got := strings.Join([]string{v.Outcome, v.Link, v.ENI, v.Source.String()}, " ")
			if v.Outcome == Dropped {
				got = strings.Join([]string{v.Outcome, "", "", v.Source.String()}, " ")
			}
			if got != tc.want || !strings.Contains(v.Why, tc.why) {
				t.Errorf("%s, want %s with %q:\n%s", got, tc.want, tc.why, a)
			}
			if v.SNAT != (v.Source != tc.src) {
				t.Errorf("SNAT %t with source %s", v.SNAT, v.Source)
			}
		})
	}
}

func TestText(t *testing.T) {
	s := someNode()
	s.Rules = append([]Rule{{Priority: 3, Table: 9, Unreadable: "it asks for ports"}}, s.Rules...)
	s.NAT[1].Rules = append([]snat.Line{{Where: "POSTROUTING rule 1", Target: "KUBE-POSTROUTING"}, {Where: "POSTROUTING rule 2", Text: "-j LOG", Unreadable: "it has the target LOG"}}, s.NAT[1].Rules...)
	got := Explain(s, Question{Src: podB, Dst: web, Port: 443}).String()
	want := `10.0.0.30 (pod) to 52.1.2.3 port 443
  from    link enibbb alias vpc/b/eth0
          -> the pod's packets come in here
  mark    outbound rule 1: 
          -> marks it 0x80
  rule    1024: from all fwmark 0x80/0x80 lookup main
          -> decides
  route   default via 10.0.0.1 dev eth0 table main
          -> is the way
  source  AWS-SNAT-CHAIN-1 rule 1: 
          -> source 10.0.0.30 becomes 10.0.0.5
  eni     eni-0, device 0, eth0
          -> carries it
leaves by eth0 (eni-0) with source 10.0.0.5, SNAT: 52.1.2.3 is neither in the VPC's CIDRs nor in the excluded ones, so the node gives the packet its own address 10.0.0.5. The pod keeps its address with AWS_VPC_K8S_CNI_EXTERNALSNAT=true, for all destinations outside the VPC (something else must NAT then), or with the destination's CIDR in AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS
not certain: rule 3: from all lookup 9 is passed over: it asks for ports
not certain: POSTROUTING rule 1 leads to KUBE-POSTROUTING, another program's chain, which is passed over
not certain: POSTROUTING rule 2 (-j LOG) is passed over: it has the target LOG
`
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
