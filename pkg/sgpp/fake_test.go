package sgpp

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// errKilled is what a process that was killed would have seen: every step from
// then on fails, those of its undoing as well.
var errKilled = errors.New("killed")

// fake is a kernel as far as branches need one: links and what goes with them,
// rules with duplicates by protocol, routes that need their link up.
type fake struct {
	state
	next  int
	log   []string
	alive int              // steps until the kill; below 0: no kill
	after func(step) error // called behind each step
}

func newFake() *fake {
	f := &fake{next: 1, alive: -1, after: func(step) error { return nil }}
	f.rules = []rule{localAt(0, protocolKernel), {Priority: 32766, Table: vpcnet.TableMain, Protocol: protocolKernel, Plain: true}}
	f.sysctls = map[string]string{"net/ipv4/tcp_early_demux": "1", "net/ipv4/udp_early_demux": "1"}
	f.trunk()
	return f
}

const fakeTrunkMAC = "02:00:00:00:06:01"

func (f *fake) trunk() link {
	return f.add(link{Name: "ens6", Kind: "device", MAC: fakeTrunkMAC, MTU: 9001, Up: true})
}

func (f *fake) add(l link) link {
	l.Index, f.next = f.next, f.next+1
	f.links = append(f.links, l)
	return l
}

// veth is what vpc-veth makes of a branch's pod: the name is taken from an older
// sandbox of the pod, with the rules that name it, and the link is down.
func (f *fake) veth(b Branch) {
	if l, ok := f.byName(b.HostVeth); ok {
		f.remove(l.Index)
		f.rules = slices.DeleteFunc(f.rules, func(r rule) bool { return r.IIF == b.HostVeth })
	}
	f.add(link{Name: b.HostVeth, Kind: "veth", Alias: b.Attachment.Alias(), MAC: "0a:00:00:00:00:01", MTU: 9001})
}

// remove deletes a link, those on top of it, and their routes.
func (f *fake) remove(index int) {
	f.links = slices.DeleteFunc(f.links, func(l link) bool {
		if l.Index != index {
			return false
		}
		f.flush(l.Name)
		return true
	})
	for _, l := range slices.Clone(f.links) {
		if l.Parent == index {
			f.remove(l.Index)
		}
	}
}

func (f *fake) flush(dev string) {
	f.routes = slices.DeleteFunc(f.routes, func(r route) bool { return r.Dev == dev })
}

func (f *fake) read(routes bool) (state, error) {
	if f.alive == 0 {
		return state{}, errKilled
	}
	s := state{
		links: slices.Clone(f.links), rules: slices.Clone(f.rules), sysctls: maps.Clone(f.sysctls), saved: maps.Clone(f.saved),
	}
	if routes {
		s.routes = slices.Clone(f.routes)
	}
	return s, nil
}

func (f *fake) do(s step) error {
	if f.alive == 0 {
		return errKilled
	}
	if f.alive > 0 {
		f.alive--
	}
	f.log = append(f.log, s.String())
	if err := f.change(s); err != nil {
		return err
	}
	return f.after(s)
}

func (f *fake) at(index int) (*link, error) {
	i := slices.IndexFunc(f.links, func(l link) bool { return l.Index == index })
	if i < 0 {
		return nil, unix.ENODEV
	}
	return &f.links[i], nil
}

func (f *fake) change(s step) error {
	switch s.verb {
	case addLink:
		return f.addVLAN(s.link)
	case noIPv6:
	case claim:
		l, _ := f.byName(s.link.Name)
		return f.raise(l.Index, s.link.Alias)
	case setMTU:
		l, err := f.at(s.link.Index)
		if err == nil {
			l.MTU = s.link.MTU
		}
		return err
	case linkUp:
		l, err := f.at(s.link.Index)
		if err != nil {
			return err
		}
		return f.raise(l.Index, l.Alias)
	case linkDown:
		if l, err := f.at(s.link.Index); err == nil {
			l.Up = false
			f.flush(l.Name)
		}
	case delLink:
		f.remove(s.link.Index)
	case putRoute:
		return f.putRoute(s.route)
	case delRoute:
		f.routes = slices.DeleteFunc(f.routes, func(r route) bool { return r.Dst == s.route.Dst && r.Table == s.route.Table })
	case addRule:
		if !slices.Contains(f.rules, s.rule) {
			f.rules = append(f.rules, s.rule)
		}
	case delRule:
		if i := slices.Index(f.rules, s.rule); i >= 0 {
			f.rules = slices.Delete(f.rules, i, i+1)
		}
	case save:
		f.saved = maps.Clone(s.saved)
	case setSysctl:
		f.sysctls[s.sysctl] = s.value
	case forget:
		f.saved = nil
	}
	return nil
}

func (f *fake) addVLAN(l link) error {
	parent, err := f.at(l.Parent)
	if err != nil {
		return err
	}
	for _, have := range f.links {
		if have.Name == l.Name || have.Parent == l.Parent && have.VLAN == l.VLAN {
			return unix.EEXIST
		}
	}
	if l.MTU > parent.MTU {
		return unix.ERANGE
	}
	l.Alias, l.Up = "", false // the kernel takes no alias at creation
	f.add(l)
	return nil
}

func (f *fake) raise(index int, alias string) error {
	l, err := f.at(index)
	if err != nil {
		return err
	}
	if parent, err := f.at(l.Parent); err == nil && !parent.Up {
		return unix.ENETDOWN
	}
	l.Alias, l.Up = alias, true
	return nil
}

func (f *fake) putRoute(r route) error {
	l, ok := f.byName(r.Dev)
	if !ok || !l.Up {
		return fmt.Errorf("route by %s: %w", r.Dev, unix.ENETDOWN)
	}
	onLink := slices.ContainsFunc(f.routes, func(o route) bool { return o.Table == r.Table && o.Dev == r.Dev && o.Dst == vpcnet.Host(r.Gw) })
	if r.Gw.IsValid() && !onLink {
		return unix.ENETUNREACH
	}
	f.routes = slices.DeleteFunc(f.routes, func(o route) bool { return o.Table == r.Table && o.Dst == r.Dst })
	f.routes = append(f.routes, r)
	return nil
}

// keeper works on the fake; the lock is the test's own doing, one call at a time.
func (f *fake) keeper() *Keeper {
	return &Keeper{kernel: f, lock: func(int) (func(), error) { return func() {}, nil }}
}

func fakeBranch(pod string, vlan int, mode string) Branch {
	return Branch{
		Attachment: vpcnet.Attachment{Network: "vpc", ContainerID: "c-" + pod, IfName: "eth0"},
		VLAN:       vlan, MAC: fmt.Sprintf("02:00:00:01:00:%02x", vlan&255), Mode: mode, HostVeth: "eni" + pod,
		Addr: netip.AddrFrom4([4]byte{10, 20, 64, byte(10 + vlan)}), Gateway: netip.MustParseAddr("10.20.64.1"),
	}
}

func fakeNode() Node {
	return Node{TrunkMAC: fakeTrunkMAC, NodeIP: netip.MustParseAddr("10.20.11.162")}
}
