package fabric

import (
	"errors"
	"fmt"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vpcchain/vpcchain/integration/vpcsim/network"
)

// portName is the router's end of a port. A branch has another one with each
// association, so that no tracked flow of an earlier one is taken for its own.
func portName(p network.Port) string { return portLink("p", p.ENI+p.Association) }

// trunksFirst puts the branches behind the ports that may carry them.
func trunksFirst(ports []network.Port) []network.Port {
	out := slices.Clone(ports)
	slices.SortStableFunc(out, func(a, b network.Port) int { return min(a.VLAN, 1) - min(b.VLAN, 1) })
	return out
}

// plugBranch makes the router's end of a branch: an 802.1Q link on the router's
// end of its trunk, so that the packets of the branch are tagged on the trunk's
// link. The instance makes its own end. A branch whose trunk has no link yet
// gets its end with it.
func (f *Fabric) plugBranch(l *port) error {
	trunk := f.ports[l.Trunk]
	if trunk == nil || !trunk.plugged {
		return nil
	}
	parent, err := f.nl.LinkByName(trunk.name)
	if err != nil {
		return fmt.Errorf("finding the port of trunk %s: %w", l.Trunk, err)
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.ParentIndex, attrs.MTU = l.name, parent.Attrs().Index, l.MTU
	link := &netlink.Vlan{LinkAttrs: attrs, VlanId: l.VLAN, VlanProtocol: netlink.VLAN_PROTOCOL_8021Q}
	err = f.nl.LinkAdd(link)
	if errors.Is(err, unix.EOPNOTSUPP) {
		f.cannotTag(l)
		return nil
	}
	if err != nil {
		return fmt.Errorf("making VLAN %d on trunk %s: %w", l.VLAN, l.Trunk, err)
	}
	if err := f.answerARP(l.name); err != nil {
		return errors.Join(err, f.nl.LinkDel(link))
	}
	if err := f.nl.LinkSetUp(link); err != nil {
		return errors.Join(fmt.Errorf("setting VLAN %d on trunk %s up: %w", l.VLAN, l.Trunk, err), f.nl.LinkDel(link))
	}
	l.plugged, l.problem = true, ""
	return nil
}

// cannotTag keeps a branch that this kernel cannot carry: EC2 goes on as if
// nothing were wrong, and the operator is told.
func (f *Fabric) cannotTag(l *port) {
	if l.problem != "" {
		return
	}
	l.problem = fmt.Sprintf("branch %s (VLAN %d of %s in %s) carries no packets: this kernel has no 802.1Q links; "+
		"load the module 8021q, or run in a virtual machine whose kernel has it", l.ENI, l.VLAN, l.Link, l.Host)
	f.report(errors.New(l.problem))
}

// Problems lists what the fabric cannot carry on this kernel.
func (f *Fabric) Problems() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := []string{}
	for _, l := range f.ports {
		if l.problem != "" {
			out = append(out, l.problem)
		}
	}
	slices.Sort(out)
	return out
}

// branches are the ports that a trunk carries.
func (f *Fabric) branches(trunk *port) []*port {
	var out []*port
	for _, l := range f.ports {
		if l.Trunk != "" && l.Trunk == trunk.ENI {
			out = append(out, l)
		}
	}
	return out
}
