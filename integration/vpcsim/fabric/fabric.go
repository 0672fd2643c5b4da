// Package fabric is the network of a simulated VPC, made of the kernel's own
// parts: one network namespace is the VPC's router, every attached ENI is a
// veth pair between it and the host that has the ENI, policy routes are the
// subnet route tables, and nftables decides about packets: source check,
// security groups, addresses that nobody has. Nothing about a packet is decided
// in Go, and no link leads out to the machine's own interfaces.
//
// Apply is level-triggered: it compares the plan with what it made before and
// changes the difference.
package fabric

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vpcchain/vpcchain/integration/vpcsim/netns"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// External is a host outside the VPC, behind a gateway that routes can name.
type External struct {
	Name     string
	Gateway  string
	Internet bool // the gateway is the internet gateway
	IP       netip.Addr
}

// Addresses that the router itself serves, link-local as in a real VPC.
const (
	IMDSAddr = "169.254.169.254" // EC2 User Guide: instance metadata
	EC2Addr  = "169.254.169.249" // of the simulation: where the EC2 API listens
	EC2Port  = 8080
)

// Fabric is the router namespace and its ports. What its maps hold is what the
// kernel has: an entry is made after the kernel took it, so that the next Apply
// tries again what failed.
type Fabric struct {
	mu        sync.Mutex
	ns        string // path of the router's namespace
	hosts     func(host string) string
	external  []External
	linkDelay time.Duration
	report    func(error)
	nl        netlinksafe.Handle
	closed    bool
	ports     map[string]*port        // by ENI id
	addrs     map[netip.Prefix]string // route of table vpcTable -> name of the port
	tables    map[string]int          // RouteTable.ID -> its number in the kernel
	routes    map[routeKey]hop        // of the subnet route tables
	script    string                  // nft script of the last Apply
	chains    []string                // names of the ports that have chains in it
}

// Tables and rule priorities in the router's namespace.
const (
	vpcTable    = 100  // every address of the VPC that an ENI has
	firstTable  = 1000 // subnet route tables, in their order
	vpcRule     = 100
	subnetRule  = 200
	catchRule   = 300 // what no route takes goes to the void, where it is counted
	catchTable  = 999
	voidLink    = "void0"
	voidPeer    = "void1"
	externalMTU = 9001
)

// Config says where the namespaces are and what is outside the VPC.
type Config struct {
	Namespace string                   // path to bind the router's namespace to
	HostNS    func(host string) string // path of a host's namespace, which must exist
	External  []External
	LinkDelay time.Duration // how long after an attachment the link appears
	Report    func(error)   // gets what fails while nobody waits for it; may be nil
}

// New makes the router's namespace with its external links.
func New(c Config) (*Fabric, error) {
	f := &Fabric{
		ns: c.Namespace, hosts: c.HostNS, external: c.External, linkDelay: c.LinkDelay, report: c.Report,
		ports: map[string]*port{}, addrs: map[netip.Prefix]string{}, tables: map[string]int{}, routes: map[routeKey]hop{},
	}
	if f.report == nil {
		f.report = func(error) {}
	}
	if err := netns.NewNet(c.Namespace); err != nil {
		return nil, err
	}
	err := netns.Do(c.Namespace, func() (err error) {
		if err := routerSysctls(); err != nil {
			return err
		}
		f.nl, err = netlinksafe.NewHandle(unix.NETLINK_ROUTE)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("setting up the router: %w", err)
	}
	if err := f.base(); err != nil {
		f.Close()
		return nil, fmt.Errorf("setting up the router: %w", err)
	}
	for _, e := range c.External {
		if err := f.plugExternal(e); err != nil {
			f.Close()
			return nil, fmt.Errorf("linking external host %s: %w", e.Name, err)
		}
	}
	return f, nil
}

// Close stops what is under way and gives back the netlink socket. The network
// stays: the namespaces hold it.
func (f *Fabric) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, l := range f.ports {
		l.stop()
	}
	f.nl.Close()
	f.closed = true // a closed handle would work in the caller's namespace
}

func routerSysctls() error {
	for path, value := range map[string]string{
		"net/ipv4/ip_forward": "1", "net/ipv4/conf/all/rp_filter": "0", "net/ipv4/conf/default/rp_filter": "0",
		"net/ipv4/conf/all/send_redirects": "0", "net/ipv4/conf/default/send_redirects": "0",
		"net/ipv6/conf/default/disable_ipv6": "1", "net/ipv6/conf/all/disable_ipv6": "1",
		// Many ports, each with permanent neighbours for every pod address.
		"net/ipv4/neigh/default/gc_thresh3": "65536", "net/ipv4/neigh/default/gc_thresh2": "32768",
	} {
		err := sysctl(path, value)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func sysctl(path, value string) error {
	return os.WriteFile(filepath.Join("/proc/sys", path), []byte(value), 0o644)
}

// base makes lo, the void and the catch-all.
func (f *Fabric) base() error {
	lo, err := f.nl.LinkByName("lo")
	if err != nil {
		return err
	}
	if err := f.nl.LinkSetUp(lo); err != nil {
		return err
	}
	for _, a := range []string{IMDSAddr, EC2Addr} {
		if err := f.addLocal(lo, netip.MustParseAddr(a)); err != nil {
			return err
		}
	}
	if err := f.nl.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: voidLink}, PeerName: voidPeer, PeerTxQLen: -1}); err != nil {
		return err
	}
	for _, name := range []string{voidLink, voidPeer} {
		l, err := f.nl.LinkByName(name)
		if err != nil {
			return err
		}
		if err := f.nl.LinkSetUp(l); err != nil {
			return err
		}
	}
	void, err := f.nl.LinkByName(voidLink)
	if err != nil {
		return err
	}
	all := netip.MustParsePrefix("0.0.0.0/0")
	if err := f.nl.RouteAdd(route(all, void.Attrs().Index, catchTable)); err != nil {
		return err
	}
	if err := f.rule(vpcRule, "", vpcTable); err != nil {
		return err
	}
	return f.rule(catchRule, "", catchTable)
}

func (f *Fabric) addLocal(lo netlink.Link, a netip.Addr) error {
	err := f.nl.AddrReplace(lo, &netlink.Addr{IPNet: ipnet(vpcnet.Host(a)), Scope: int(netlink.SCOPE_HOST)})
	if err != nil {
		return fmt.Errorf("adding %s to lo: %w", a, err)
	}
	return nil
}

func (f *Fabric) rule(priority int, iif string, table int) error {
	r := netlink.NewRule()
	r.Family, r.Priority, r.IifName, r.Table = netlink.FAMILY_V4, priority, iif, table
	return f.nl.RuleAdd(r)
}

func route(dst netip.Prefix, link, table int) *netlink.Route {
	return &netlink.Route{Dst: ipnet(dst), LinkIndex: link, Table: table, Scope: netlink.SCOPE_LINK}
}

func ipnet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// portLink is the name of the router's end of an ENI or an external link:
// unique, and within the kernel's 15 characters.
func portLink(kind, id string) string {
	sum := sha256.Sum256([]byte(id))
	return kind + hex.EncodeToString(sum[:])[:10]
}
