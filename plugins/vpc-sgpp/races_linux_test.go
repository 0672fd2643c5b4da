package main

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vpcchain/vpcchain/pkg/nodefacts"
	"github.com/vpcchain/vpcchain/pkg/sgpp"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// wired is a pod with the host veth of vpc-veth, made without executing it.
func (l *lab) wired(name string, vlan int) *pod {
	l.t.Helper()
	p := l.pod(name, vlan)
	if old, err := l.node.nl.LinkByName(p.hostVeth()); err == nil {
		must(l.t, l.node.nl.LinkDel(old))
	}
	v := netlink.NewVeth(netlink.NewLinkAttrs())
	v.Name, v.PeerName, v.PeerNamespace = p.hostVeth(), "eth0", netlink.NsFd(int(p.ns.fd))
	must(l.t, l.node.nl.LinkAdd(v))
	p.ns.up("eth0")
	must(l.t, l.node.nl.LinkSetAlias(l.node.link(v.Name), p.attachment().Alias()))
	p.prev.Interfaces = slices.Concat([]*types100.Interface{{Name: v.Name}, {Name: "eth0", Sandbox: p.ns.path()}}, p.prev.Interfaces)
	p.prev.IPs[0].Interface = new(1)
	return p
}

func (p *pod) attachment() vpcnet.Attachment {
	return vpcnet.Attachment{Network: "vpc", ContainerID: p.id(), IfName: "eth0"}
}

func addrOf(text string) netip.Addr { return netip.MustParseAddr(text) }

// unwire is vpc-veth's DEL.
func (p *pod) unwire() {
	l, err := p.lab.node.nl.LinkByName(p.hostVeth())
	if err == nil && l.Attrs().Alias == p.attachment().Alias() {
		must(p.lab.t, p.lab.node.nl.LinkDel(l))
	}
}

// check is CHECK without executing the plugin.
func (p *pod) check(mode string) error {
	b := sgpp.Branch{
		Attachment: p.attachment(), VLAN: p.vlan, MAC: branchMAC(p.vlan), HostVeth: p.hostVeth(), Mode: mode,
		Addr: addrOf(p.addr), Gateway: addrOf(branchGW),
	}
	return p.lab.node.do(func() error {
		k, err := sgpp.Open(filepath.Dir(p.lab.facts))
		if err != nil {
			return err
		}
		defer k.Close()
		return k.Check(b, sgpp.Node{TrunkMAC: trunkMAC})
	})
}

// start begins a plugin's call; the process is in the node's namespace.
func (p *pod) start(verb string, conf map[string]any) *exec.Cmd {
	p.lab.t.Helper()
	cmd := p.command("vpc-sgpp", verb, conf)
	must(p.lab.t, p.lab.node.do(cmd.Start))
	return cmd
}

// watchLocal asks for the way to the node's own address again and again, until
// the test ends: it is never anything but local.
func (l *lab) watchLocal() {
	done, ended := make(chan struct{}), make(chan struct{})
	h, err := netlink.NewHandleAt(l.node.fd, unix.NETLINK_ROUTE)
	must(l.t, err)
	go func() {
		defer close(ended)
		defer h.Close()
		for {
			select {
			case <-done:
				return
			default:
			}
			routes, err := h.RouteGet(net.ParseIP(nodeIP))
			if err != nil || len(routes) != 1 || routes[0].Type != unix.RTN_LOCAL {
				l.t.Errorf("the node's way to itself: %v, %v", routes, err)
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	l.t.Cleanup(func() { close(done); <-ended })
}

// Two ADDs, or an ADD and a DEL, at the same time: the last strict pod's DEL puts
// the node back, unless another is just coming.
func TestVLANTwoAtOnce(t *testing.T) {
	l := newLab(t, nodefacts.ModeStrict)
	l.watchLocal()
	both := func(a, b *exec.Cmd) {
		t.Helper()
		if err := a.Wait(); err != nil {
			t.Error(err)
		}
		if err := b.Wait(); err != nil {
			t.Error(err)
		}
	}
	for range 6 {
		a, b := l.wired("a", 11), l.wired("b", 12)
		both(a.start("ADD", nil), b.start("ADD", nil))
		must(t, a.check(nodefacts.ModeStrict))
		must(t, b.check(nodefacts.ModeStrict))
		both(b.start("DEL", nil), b.start("DEL", nil))
		b.unwire()
		c := l.wired("c", 13)
		both(a.start("DEL", nil), c.start("ADD", nil))
		a.unwire()
		must(t, c.check(nodefacts.ModeStrict))
		c.ok("vpc-sgpp", "DEL", nil)
		c.unwire()
		l.emptied()
	}
}

// Random schedules of pods on real 802.1Q, each with calls that are killed at a
// random moment and pairs of calls at once. After the DELs nothing is left.
func TestVLANSchedules(t *testing.T) {
	took := cost(t)
	half := 0
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { half += schedule(t, seed, took) })
	}
	// Without any, the kills came before the first change or after the last.
	t.Logf("%d calls were killed between two changes", half)
	if half == 0 {
		t.Error("no kill hit a call in the midst of its work")
	}
}

// cost is how long a call takes here, for the kills to hit all of it; it logs the
// least of five, beside an execution of nothing.
func cost(t *testing.T) time.Duration {
	l := newLab(t, nodefacts.ModeStrict)
	least := map[string]time.Duration{}
	timed := func(what string, f func()) {
		begin := time.Now()
		f()
		if took := time.Since(begin); least[what] == 0 || took < least[what] {
			least[what] = took
		}
	}
	for range 5 {
		p := l.pod("web", 9)
		timed("empty", func() { _ = l.node.do(p.command("empty", "ADD", nil).Run) })
		timed("vpc-veth ADD", func() { p.ok("vpc-veth", "ADD", nil) })
		timed("vpc-sgpp ADD", func() { p.ok("vpc-sgpp", "ADD", nil) })
		timed("vpc-sgpp DEL", func() { p.ok("vpc-sgpp", "DEL", nil) })
		timed("vpc-veth DEL", func() { p.ok("vpc-veth", "DEL", nil) })
	}
	l.emptied()
	t.Log(least)
	return least["vpc-sgpp DEL"]
}

// schedule tells how many calls were killed having changed something.
func schedule(t *testing.T, seed uint64, took time.Duration) (half int) {
	rnd := rand.New(rand.NewPCG(seed, 77)) //nolint:gosec // a schedule
	l := newLab(t, nodefacts.ModeStrict)
	l.watchLocal()
	live := map[int]*pod{} // by VLAN id
	whole := map[int]string{}
	var log []string
	defer func() {
		if t.Failed() {
			t.Log(log)
		}
	}()
	for i := range 8 {
		vlan := 153 + rnd.IntN(3)
		mode := []string{nodefacts.ModeStrict, nodefacts.ModeStandard}[rnd.IntN(2)]
		p, verb, conf := live[vlan], "DEL", map[string]any{}
		if p == nil {
			p, verb = l.wired(fmt.Sprintf("p%d-%d", seed, i), vlan), "ADD"
			live[vlan] = p
			conf["enforcingMode"] = mode
		} else if rnd.IntN(2) == 0 {
			conf["prevResult"] = nil
		}
		var wait sync.WaitGroup
		if other := pick(rnd, live, vlan); other != nil && rnd.IntN(2) == 0 {
			wait.Go(func() { _ = other.start("DEL", nil).Wait() })
			delete(whole, other.vlan)
		}
		before := l.left()
		cmd := p.start(verb, conf)
		kill := rnd.IntN(2) == 0
		if kill {
			time.Sleep(took/2 + time.Duration(rnd.Int64N(int64(took))))
			_ = cmd.Process.Kill()
		}
		err := cmd.Wait()
		wait.Wait()
		log = append(log, fmt.Sprintf("%s %d %s killed %v: %v;", verb, vlan, mode, kill, err))
		if err != nil && kill && l.left() != before {
			half++
		}
		if err != nil && !kill {
			t.Errorf("%s of VLAN %d: %v", verb, vlan, err)
		}
		switch {
		case verb == "DEL" && err == nil:
			p.unwire()
			delete(live, vlan)
			delete(whole, vlan)
		case verb == "DEL":
			delete(whole, vlan) // begun
		case err == nil:
			whole[vlan] = mode
		}
		for vlan, mode := range whole {
			if err := live[vlan].check(mode); err != nil {
				t.Errorf("CHECK of VLAN %d after %v: %v", vlan, log, err)
			}
		}
	}
	for _, p := range live {
		if rnd.IntN(2) == 0 {
			p.prev = nil
		}
		p.ok("vpc-sgpp", "DEL", nil)
		p.unwire()
	}
	l.emptied()
	return half
}

// pick is another pod than the one with the VLAN id.
func pick(rnd *rand.Rand, live map[int]*pod, but int) *pod {
	vlan := 153 + rnd.IntN(3)
	if vlan == but {
		return nil
	}
	return live[vlan]
}

// GC while pods live: the listed stay whole, the others go with all they had.
func TestVLANGarbage(t *testing.T) {
	l := newLab(t, nodefacts.ModeStrict)
	stays, goes := l.wired("stays", 21), l.wired("goes", 22)
	stays.ok("vpc-sgpp", "ADD", nil)
	goes.ok("vpc-sgpp", "ADD", map[string]any{"enforcingMode": nodefacts.ModeStandard})
	orphan := l.wired("orphan", 23)
	orphan.ok("vpc-sgpp", "ADD", nil)
	must(t, l.node.nl.LinkDel(l.node.link("vlan.eth.23"))) // as with the trunk
	orphan.unwire()
	valid := map[string]any{"cniVersion": "1.1.0", "cni.dev/valid-attachments": []types.GCAttachment{{ContainerID: stays.id(), IfName: "eth0"}}}
	stays.ok("vpc-sgpp", "GC", valid)
	must(t, stays.check(nodefacts.ModeStrict))
	goes.unwire()
	stays.ok("vpc-sgpp", "DEL", nil)
	stays.unwire()
	l.emptied()
}
