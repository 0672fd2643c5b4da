package fabric

import (
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vpcchain/vpcchain/integration/vpcsim/netns"
	"github.com/vpcchain/vpcchain/integration/vpcsim/network"
)

// port is the router's side of an attached ENI.
type port struct {
	network.Port
	name    string      // of the router's end of the link
	table   int         // that its rule leads to; 0: no rule yet
	timer   *time.Timer // the link appears when it fires
	plugged bool
	problem string // why this kernel cannot carry it
}

func (l *port) stop() {
	if l.timer != nil {
		l.timer.Stop()
		l.timer = nil
	}
}

// port makes the link of an ENI, now or after the delay, and its rule.
func (f *Fabric) port(p network.Port, table int) error {
	l := f.ports[p.ENI]
	if l != nil && (l.Host != p.Host || l.Link != p.Link || l.Association != p.Association) {
		if err := f.unplug(l); err != nil {
			return err
		}
		l = nil
	}
	if l == nil {
		l = &port{name: portName(p)}
		f.ports[p.ENI] = l
		if f.linkDelay > 0 && p.Device > 0 && p.VLAN == 0 {
			l.timer = time.AfterFunc(f.linkDelay, func() { f.arrive(l) })
		}
	}
	l.Port = p
	err := f.portRule(l, table)
	if l.plugged || l.timer != nil {
		return err
	}
	return errors.Join(err, f.plug(l))
}

// portRule sends what enters by the port to its subnet's route table. The new
// rule comes before the old one goes: there is no moment without.
func (f *Fabric) portRule(l *port, table int) error {
	if l.table == table {
		return nil
	}
	if err := f.rule(subnetRule, l.name, table); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("adding its rule: %w", err)
	}
	if err := f.dropRule(l); err != nil {
		return err
	}
	l.table = table
	return nil
}

func (f *Fabric) dropRule(l *port) error {
	if l.table == 0 {
		return nil
	}
	r := netlink.NewRule()
	r.Family, r.Priority, r.IifName, r.Table = netlink.FAMILY_V4, subnetRule, l.name, l.table
	if err := f.nl.RuleDel(r); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("removing its rule: %w", err)
	}
	l.table = 0
	return nil
}

// SetLinkDelay changes how late the links of ENIs attached from now on appear.
func (f *Fabric) SetLinkDelay(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.linkDelay = d
}

// arrive makes a late link, unless the ENI was detached meanwhile. Nobody waits
// for it: what fails is reported, and the next Apply tries again.
func (f *Fabric) arrive(l *port) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ports[l.ENI] != l || l.timer == nil {
		return
	}
	l.timer = nil
	for _, p := range append([]*port{l}, f.branches(l)...) {
		err := f.plug(p)
		if err == nil && p.plugged {
			err = f.addresses(p)
		}
		if err != nil {
			f.report(fmt.Errorf("late port of %s in %s: %w", p.ENI, p.Host, err))
		}
	}
}

// plug makes the veth pair, the host's end directly in the host's namespace:
// named, with the ENI's MAC, and down, as a hot-plugged device.
func (f *Fabric) plug(l *port) error {
	if l.VLAN != 0 {
		return f.plugBranch(l)
	}
	mac, err := net.ParseMAC(l.MAC)
	if err != nil {
		return err
	}
	if err := f.pair(l.name, l.Link, l.Host, mac, l.MTU); err != nil {
		return err
	}
	l.plugged = true
	return nil
}

func (f *Fabric) pair(name, hostName, host string, mac net.HardwareAddr, mtu int) (err error) {
	hostNS, err := ns.GetNS(f.hosts(host))
	if err != nil {
		return err
	}
	defer func() { _ = hostNS.Close() }()
	veth := netlink.NewVeth(netlink.NewLinkAttrs())
	veth.Name, veth.MTU = name, mtu
	veth.PeerName, veth.PeerHardwareAddr, veth.PeerMTU = hostName, mac, uint32(mtu)
	veth.PeerNamespace = netlink.NsFd(int(hostNS.Fd()))
	if err := f.nl.LinkAdd(veth); err != nil {
		return fmt.Errorf("making the link %s: %w", hostName, err)
	}
	// Half a port would keep the next try from making a whole one.
	defer func() {
		if err != nil {
			err = errors.Join(err, f.nl.LinkDel(veth))
		}
	}()
	if err := f.answerARP(name); err != nil {
		return err
	}
	return f.nl.LinkSetUp(veth)
}

// answerARP makes the VPC answer ARP on a port for every address it can route
// to, and at once.
func (f *Fabric) answerARP(name string) error {
	return netns.Do(f.ns, func() error {
		for path, value := range map[string]string{
			"net/ipv4/conf/" + name + "/proxy_arp":    "1",
			"net/ipv4/neigh/" + name + "/proxy_delay": "0",
		} {
			if err := sysctl(path, value); err != nil {
				return err
			}
		}
		return nil
	})
}

func (f *Fabric) plugExternal(e External) error {
	return f.pair(portLink("x", e.Name), "eth0", e.Name, nil, externalMTU)
}

// unplug removes what belongs to the port; the kernel drops the routes and
// neighbours of a link that goes.
func (f *Fabric) unplug(l *port) error {
	l.stop()
	link, err := f.nl.LinkByName(l.name)
	if err == nil {
		err = f.nl.LinkDel(link)
	}
	if err != nil && !errors.As(err, new(netlink.LinkNotFoundError)) {
		return err
	}
	f.unplugged(l)
	if err := f.dropRule(l); err != nil {
		return err
	}
	delete(f.ports, l.ENI)
	return nil
}

func (f *Fabric) unplugged(l *port) {
	l.plugged = false
	for a, name := range f.addrs {
		if name == l.name {
			delete(f.addrs, a)
		}
	}
	for k, h := range f.routes {
		if h.link == l.name {
			delete(f.routes, k)
		}
	}
}

// lost notices links that somebody deleted at the host's end: EC2 still has the
// attachment, so they are made again.
func (f *Fabric) lost() error {
	links, err := f.nl.LinkList()
	if err != nil {
		return fmt.Errorf("listing the links: %w", err)
	}
	have := map[string]bool{}
	for _, l := range links {
		have[l.Attrs().Name] = true
	}
	for _, l := range f.ports {
		if l.plugged && !have[l.name] {
			f.unplugged(l)
		}
	}
	return nil
}
