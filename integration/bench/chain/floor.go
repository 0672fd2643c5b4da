package chain

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/containernetworking/cni/libcni"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// floor does what the chain cannot do without: the requests to the kernel that
// vpc-veth makes, in one process and reading nothing back, and as many executions
// of an empty Go binary as the chain executes plugins. There is no pool, no
// result, no check and nothing to undo.
type floor struct {
	exec  *timed
	empty string // path of the binary that does nothing
	execs int

	next atomic.Int32 // of the addresses and link indexes
	mu   sync.Mutex
	made map[string]int // index of the host's end, by container
}

// firstIndex is beyond the numbers that the kernel gives to links by itself.
const firstIndex = 1 << 20

func newFloor(t *timed, bin string, execs int) *floor {
	return &floor{exec: t, empty: filepath.Join(bin, "empty"), execs: execs, made: map[string]int{}}
}

func (f *floor) add(ctx context.Context, p *libcni.RuntimeConf) error {
	return f.both(ctx, "ADD", func() error { return f.wire(p) })
}

func (f *floor) del(ctx context.Context, p *libcni.RuntimeConf) error {
	return f.both(ctx, "DEL", func() error {
		f.mu.Lock()
		index := f.made[p.ContainerID]
		delete(f.made, p.ContainerID)
		f.mu.Unlock()
		return netlink.LinkDel(&netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: index}})
	})
}

func (f *floor) both(ctx context.Context, verb string, work func() error) error {
	start := time.Now()
	if err := work(); err != nil {
		return err
	}
	f.exec.clock.add(key{f.exec.of, verb, "netlink", f.exec.width}, time.Since(start))
	for range f.execs {
		if _, err := f.exec.ExecPlugin(ctx, f.empty, []byte("{}"), []string{"CNI_COMMAND=" + verb}); err != nil {
			return err
		}
	}
	return nil
}

// wire makes a pod's end, its host's end, and what leads to and from them.
func (f *floor) wire(p *libcni.RuntimeConf) error {
	number := int(f.next.Add(1))
	pair := pair{
		index: firstIndex + number, name: vpcnet.HostVethName(vpcnet.VethPrefix, "floor", p.ContainerID, p.ContainerID, p.IfName),
		alias: vpcnet.Attachment{Network: "floor", ContainerID: p.ContainerID, IfName: p.IfName}.Alias(),
		addr:  netip.AddrFrom4([4]byte{10, 97, byte(number >> 8), byte(number)}), hostMAC: mac(), podMAC: mac(),
	}
	fd, err := netns.GetFromPath(p.NetNS)
	if err != nil {
		return err
	}
	defer func() { _ = fd.Close() }()
	host, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer host.Close()
	pod, err := netlink.NewHandleAt(fd, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer pod.Close()
	if err := pair.create(int(fd), p.IfName); err != nil {
		return fmt.Errorf("making link %s: %w", pair.name, err)
	}
	f.mu.Lock()
	f.made[p.ContainerID] = pair.index
	f.mu.Unlock()
	return errors.Join(pair.inside(pod), pair.outside(host))
}

func mac() net.HardwareAddr {
	m := make(net.HardwareAddr, 6)
	_, _ = rand.Read(m) // never fails
	m[0] = m[0]&^1 | 2
	return m
}

// pair is a veth pair, both of whose ends get the same index, each in its own namespace.
type pair struct {
	index           int
	name, alias     string
	addr            netip.Addr
	hostMAC, podMAC net.HardwareAddr
}

// create makes both ends where they stay, with indexes that need not be asked for.
func (v pair) create(podFD int, ifname string) error {
	req := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK)
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Index = int32(v.index) //nolint:gosec // a million and some
	req.AddData(msg)
	mtu := nl.Uint32Attr(vpcnet.ENIMTU)
	req.AddData(nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(v.name)))
	req.AddData(nl.NewRtAttr(unix.IFLA_MTU, mtu))
	req.AddData(nl.NewRtAttr(unix.IFLA_ADDRESS, v.hostMAC))
	info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddRtAttr(nl.IFLA_INFO_KIND, nl.NonZeroTerminated("veth"))
	peer := info.AddRtAttr(nl.IFLA_INFO_DATA, nil).AddRtAttr(nl.VETH_INFO_PEER, nil)
	nl.NewIfInfomsgChild(peer, unix.AF_UNSPEC).Index = msg.Index
	peer.AddRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(ifname))
	peer.AddRtAttr(unix.IFLA_MTU, mtu)
	peer.AddRtAttr(unix.IFLA_ADDRESS, v.podMAC)
	peer.AddRtAttr(unix.IFLA_NET_NS_FD, nl.Uint32Attr(uint32(podFD))) //nolint:gosec // a file descriptor
	req.AddData(info)
	_, err := req.Execute(unix.NETLINK_ROUTE, 0)
	return err
}

func (v pair) inside(pod *netlink.Handle) error {
	l := &netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: v.index}}
	gw := vpcnet.PodGateway().AsSlice()
	all := &net.IPNet{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)}
	return errors.Join(
		pod.LinkSetUp(l),
		pod.AddrAdd(l, &netlink.Addr{IPNet: host(v.addr)}),
		pod.NeighSet(&netlink.Neigh{LinkIndex: v.index, State: netlink.NUD_PERMANENT, IP: gw, HardwareAddr: v.hostMAC}),
		pod.RouteAdd(&netlink.Route{LinkIndex: v.index, Dst: host(vpcnet.PodGateway()), Scope: netlink.SCOPE_LINK}),
		pod.RouteAdd(&netlink.Route{LinkIndex: v.index, Gw: gw, Dst: all}),
	)
}

func (v pair) outside(h *netlink.Handle) error {
	req := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_ACK)
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Index, msg.Flags, msg.Change = int32(v.index), unix.IFF_UP, unix.IFF_UP //nolint:gosec // as in create
	req.AddData(msg)
	req.AddData(nl.NewRtAttr(unix.IFLA_IFALIAS, []byte(v.alias)))
	_, err := req.Execute(unix.NETLINK_ROUTE, 0)
	rule := netlink.NewRule()
	rule.Family, rule.Priority, rule.Table, rule.Protocol = netlink.FAMILY_V4, vpcnet.RulePods, vpcnet.TablePods, vpcnet.RouteProtocol
	rerr := h.RuleAdd(rule)
	if errors.Is(rerr, unix.EEXIST) {
		rerr = nil
	}
	return errors.Join(err, h.RouteReplace(&netlink.Route{
		LinkIndex: v.index, Dst: host(v.addr), Table: vpcnet.TablePods, Scope: netlink.SCOPE_LINK, Protocol: vpcnet.RouteProtocol,
	}), rerr)
}

func host(a netip.Addr) *net.IPNet { return &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(32, 32)} }
