package rebuild

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vpcchain/vpcchain/daemon/internal/checkpoint"
	"github.com/vpcchain/vpcchain/daemon/internal/eni"
	"github.com/vpcchain/vpcchain/daemon/internal/hostnet"
	"github.com/vpcchain/vpcchain/daemon/internal/pool"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

func addr(s string) netip.Addr {
	if s == "" {
		return netip.Addr{}
	}
	return netip.MustParseAddr(s)
}

func att(id string) vpcnet.Attachment {
	return vpcnet.Attachment{Network: "vpc", ContainerID: id, IfName: "eth0"}
}

// node has 10.0.0.1 to .4 on eni-a, .5 to .6 and the prefix 10.0.1.0/28 on eni-b.
func node() []eni.ENI {
	a := eni.ENI{ID: "eni-a"}
	for i := range 4 {
		a.Addresses = append(a.Addresses, netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)}))
	}
	return []eni.ENI{a, {
		ID: "eni-b", Device: 1, Addresses: []netip.Addr{addr("10.0.0.5"), addr("10.0.0.6")},
		Prefixes: []netip.Prefix{netip.MustParsePrefix("10.0.1.0/28")},
	}}
}

func veth(link, id, address string) hostnet.Witness {
	w := hostnet.Witness{Link: link, Addr: addr(address)}
	if id != "" {
		w.Attachment = att(id)
	}
	return w
}

func inside(path, address string) hostnet.Witness {
	return hostnet.Witness{Netns: path, Addr: addr(address)}
}

func rule(address string) hostnet.Witness { return hostnet.Witness{Rule: true, Addr: addr(address)} }

func stock(id, name, address string) checkpoint.Entry {
	a := att(id)
	a.Network = "aws-cni"
	return checkpoint.Entry{Attachment: a, Addr: addr(address), Namespace: "ns", Name: name, Since: time.Unix(7, 0)}
}

func stockVeth(name string) string { return vpcnet.HostVethName("eni", "ns", name, "x", "eth0") }

// Nobody knows when the daemon before got back what is free.
func TestAllRestAfterALoss(t *testing.T) {
	in := Input{ENIs: node(), Fresh: true, Used: true, VethPrefix: "eni", Seen: []hostnet.Witness{veth("eni1", "c1", "10.0.0.2"), rule("10.0.0.6")}}
	rested := len(Decide(in).Rested)
	if want := 4 + 2 + 16 - 1; rested != want {
		t.Errorf("%d addresses rest, want all %d that no pod has", rested, want)
	}
	in.Fresh = false
	if p := Decide(in); len(p.Rested) > 0 {
		t.Errorf("with good books %v rest", p.Rested)
	}
}

// EC2 may give an address again that a pod has whose ENI somebody detached.
func TestAddressOfADetachedENIIsWithheld(t *testing.T) {
	enis := node()
	enis[0].Subnet, enis[0].Primary = netip.MustParsePrefix("10.0.0.0/24"), addr("10.0.0.200")
	in := Input{ENIs: enis, Fresh: true, VethPrefix: "eni", Seen: []hostnet.Witness{
		veth("eni1", "c1", "10.0.0.77"), inside("/run/netns/x", "172.17.0.2"), inside("/run/netns/y", "10.0.0.200"),
	}}
	p := Decide(in)
	if len(p.Withheld) != 1 || p.Withheld[addr("10.0.0.77")] == "" || len(p.Held) > 0 {
		t.Errorf("the plan is\n%s", p)
	}
}

func TestUsed(t *testing.T) {
	dir := t.TempDir()
	if Used(dir) {
		t.Error("an empty directory was used")
	}
	for _, name := range []string{"spool", "node.json"} {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		if !Used(dir) {
			t.Errorf("%s does not tell of a daemon", name)
		}
	}
}

func TestDecide(t *testing.T) {
	known := []pool.Allocation{{Attachment: att("k"), Addr: addr("10.0.0.1"), ENI: "eni-a"}}
	for _, tc := range []struct {
		name  string
		fresh bool
		known []pool.Allocation
		seen  []hostnet.Witness
		stock []checkpoint.Entry
		want  string
	}{
		{"an empty node", true, nil, nil, nil, ""},
		{"alias and route, ENI by address and by prefix, namespace by address", true, nil, []hostnet.Witness{
			veth("eni1", "c1", "10.0.0.2"), veth("eni2", "c2", "10.0.1.3"), inside("/run/netns/p1", "10.0.0.2"),
		}, nil, `
hold 10.0.0.2 of "eni-a" for vpc/c1/eth0 link "eni1" netns "/run/netns/p1"
hold 10.0.1.3 of "eni-b" for vpc/c2/eth0 link "eni2" netns ""`},
		{"two namespaces have the address: neither is the pod's", true, nil, []hostnet.Witness{
			veth("eni1", "c1", "10.0.0.2"), inside("/n/a", "10.0.0.2"), inside("/n/b", "10.0.0.2"),
		}, nil, `hold 10.0.0.2 of "eni-a" for vpc/c1/eth0 link "eni1" netns ""`},
		{"two attachments claim an address: nobody gets it", true, nil, []hostnet.Witness{
			veth("eni1", "c1", "10.0.0.2"), veth("eni2", "c2", "10.0.0.2"),
		}, nil, `withhold 10.0.0.2: link eni2 of vpc/c2/eth0 leads to it, which is not in the books; free when the link is gone`},
		{"an attachment with two addresses gets the one that a namespace has", true, nil, []hostnet.Witness{
			veth("eni1", "c1", "10.0.0.2"), veth("eni2", "c1", "10.0.0.3"), inside("/n/a", "10.0.0.3"),
		}, nil, `
hold 10.0.0.3 of "eni-a" for vpc/c1/eth0 link "eni2" netns "/n/a"
withhold 10.0.0.2: link eni1 of vpc/c1/eth0 leads to it, which is not in the books; free when the link is gone`},
		{"a veth without a route tells no address; addresses of others do not matter", true, nil, []hostnet.Witness{
			veth("eni1", "c1", ""), veth("docker0", "", "172.17.0.2"), inside("/n/a", "192.168.1.1"), rule("10.9.9.9"),
		}, nil, ""},
		{
			"a namespace alone: macvlan, whose attachment nobody knows", true, nil,
			[]hostnet.Witness{inside("/n/a", "10.0.0.4")},
			nil,
			`withhold 10.0.0.4: in use in network namespace /n/a of a pod that is not in the books; free when the namespace is gone`,
		},
		{"a rule without a pod: the address rests", true, nil, []hostnet.Witness{
			rule("10.0.0.5"), rule("10.0.0.6"), rule("10.0.0.6"), veth("eni1", "c1", "10.0.0.5"),
		}, nil, `
hold 10.0.0.5 of "eni-b" for vpc/c1/eth0 link "eni1" netns ""
rest 10.0.0.6`},
		{
			"good books take nothing, but withhold", false, known,
			[]hostnet.Witness{
				veth("eni1", "k", "10.0.0.1"), veth("eni2", "c2", "10.0.0.2"), inside("/n/k", "10.0.0.1"), rule("10.0.0.5"),
			},
			[]checkpoint.Entry{stock("s", "web", "10.0.0.3")},
			`withhold 10.0.0.2: link eni2 of vpc/c2/eth0 leads to it, which is not in the books; free when the link is gone`,
		},
		{"the checkpoint, with and without a route", true, nil, []hostnet.Witness{
			veth(stockVeth("web"), "", "10.0.0.1"), veth(stockVeth("db"), "", ""), inside("/n/w", "10.0.0.1"),
		}, []checkpoint.Entry{stock("c1", "web", "10.0.0.1"), stock("c2", "db", "10.0.0.2")}, `
hold 10.0.0.1 of "eni-a" for aws-cni/c1/eth0 link "` + stockVeth("web") + `" netns "/n/w"
hold 10.0.0.2 of "eni-a" for aws-cni/c2/eth0 link "` + stockVeth("db") + `" netns ""
alias aws-cni/c1/eth0 on ` + stockVeth("web") + `
alias aws-cni/c2/eth0 on ` + stockVeth("db")},
		{
			"an address of the checkpoint that no ENI has any more stays with its pod", true, nil,
			[]hostnet.Witness{veth(stockVeth("web"), "", "10.7.7.7")},
			[]checkpoint.Entry{stock("c1", "web", "10.7.7.7")},
			`
hold 10.7.7.7 of "" for aws-cni/c1/eth0 link "` + stockVeth("web") + `" netns ""
alias aws-cni/c1/eth0 on ` + stockVeth("web"),
		},
		{
			"dead entries of the checkpoint", true, nil,
			[]hostnet.Witness{veth(stockVeth("web"), "", "10.0.0.3")},
			[]checkpoint.Entry{stock("old", "web", "10.0.0.1"), stock("c2", "gone", "10.0.0.2")},
			`
withhold 10.0.0.3: link ` + stockVeth("web") + ` leads to it, whose pod is not known; free when the link is gone
drop 10.0.0.1 of ns/web (aws-cni/old/eth0): its host veth ` + stockVeth("web") + ` leads to 10.0.0.3
drop 10.0.0.2 of ns/gone (aws-cni/c2/eth0): its host veth ` + stockVeth("gone") + ` is gone`,
		},
		{"the kernel is newer than the checkpoint", true, nil, []hostnet.Witness{
			veth("eni1", "c9", "10.0.0.1"), veth(stockVeth("web"), "", ""),
		}, []checkpoint.Entry{stock("c1", "web", "10.0.0.1")}, `
hold 10.0.0.1 of "eni-a" for vpc/c9/eth0 link "eni1" netns ""
drop 10.0.0.1 of ns/web (aws-cni/c1/eth0): the kernel shows another holder`},
	} {
		p := Decide(Input{ENIs: node(), Known: tc.known, Fresh: tc.fresh, Seen: tc.seen, Stock: tc.stock, VethPrefix: "eni", Now: time.Unix(9, 0)})
		if d := cmp.Diff(strings.TrimSpace(tc.want), strings.TrimSpace(p.String())); d != "" {
			t.Errorf("%s (-want +got):\n%s", tc.name, d)
		}
	}
}

// Whatever the traces: no address and no attachment twice, and none that is
// seen and not held is left to be given out.
func FuzzDecide(f *testing.F) {
	f.Add([]byte{0, 1, 1, 1, 2, 1, 2, 0, 3, 3, 1, 2})
	f.Fuzz(func(t *testing.T, raw []byte) {
		var in Input
		in.ENIs, in.Fresh, in.VethPrefix = node(), true, "eni"
		for ; len(raw) >= 4; raw = raw[4:] {
			a := netip.AddrFrom4([4]byte{10, 0, 0, raw[1] % 8})
			id := string('a' + rune(raw[2]%4))
			link := "eni" + string('a'+rune(raw[3]%4))
			switch raw[0] % 5 {
			case 0:
				in.Seen = append(in.Seen, hostnet.Witness{Addr: a, Link: link, Attachment: att(id)})
			case 1:
				in.Seen = append(in.Seen, hostnet.Witness{Addr: a, Netns: "/n/" + id})
			case 2:
				in.Seen = append(in.Seen, hostnet.Witness{Addr: a, Rule: true})
			case 3:
				in.Stock = append(in.Stock, stock(id, id, a.String()))
			case 4:
				in.Seen = append(in.Seen, hostnet.Witness{Addr: a, Link: stockVeth(id)})
			}
		}
		p := Decide(in)
		held := map[netip.Addr]bool{}
		who := map[vpcnet.Attachment]bool{}
		for _, h := range p.Held {
			if held[h.Addr] || who[h.Attachment] {
				t.Fatalf("%s of %s twice:\n%s", h.Addr, h.Attachment, p)
			}
			held[h.Addr], who[h.Attachment] = true, true
		}
		for _, w := range in.Seen {
			ours := w.Addr.Compare(addr("10.0.0.1")) >= 0 && w.Addr.Compare(addr("10.0.0.6")) <= 0
			if _, ok := p.Withheld[w.Addr]; ours && !w.Rule && !held[w.Addr] && !ok {
				t.Fatalf("%s is in use and can be given out:\n%s", w.Addr, p)
			}
		}
	})
}
