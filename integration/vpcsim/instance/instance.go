// Package instance makes the hosts of a simulation: a network namespace and a
// mount namespace with a /run, /sys, /etc and /var/lib of its own, so that a
// host's network namespaces, CNI cache, configuration and sockets are its own
// and disappear with it. An instance starts as a distribution leaves it.
package instance

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vpcchain/vpcchain/integration/vpcsim/netns"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// Dir is the layout of a simulation's directory, a private tmpfs.
type Dir string

// Root is where the simulations' directories are, if root makes them.
const Root = "/run/vpcsim"

// At is the directory of the simulation called name.
func At(name string) Dir { return Dir(filepath.Join(home(), name)) }

// Net is the network namespace of a host.
func (d Dir) Net(host string) string { return filepath.Join(string(d), "ns", "net-"+host) }

// Mount is the mount namespace of a host.
func (d Dir) Mount(host string) string { return filepath.Join(string(d), "ns", "mnt-"+host) }

// Router is the network namespace of the VPC's router.
func (d Dir) Router() string { return filepath.Join(string(d), "ns", "router") }

// Run is the directory that the host sees as /run.
func (d Dir) Run(host string) string { return d.node(host, "run") }

func (d Dir) node(host string, parts ...string) string {
	return filepath.Join(append([]string{string(d), "nodes", host}, parts...)...)
}

// File is a file of the simulation itself: its socket, log, pid.
func (d Dir) File(name string) string { return filepath.Join(string(d), name) }

// Create makes the directory as a private tmpfs, so that one unmount removes
// all of it and nothing propagates.
func (d Dir) Create() error {
	if err := os.MkdirAll(string(d), 0o755); err != nil {
		return err
	}
	if err := unix.Mount("vpcsim", string(d), "tmpfs", 0, "mode=755"); err != nil {
		return fmt.Errorf("mounting a tmpfs on %s: %w", d, err)
	}
	if err := unix.Mount("", string(d), "", unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making %s private: %w", d, err)
	}
	return os.MkdirAll(d.File("ns"), 0o755)
}

// CreatePlain makes a directory without mounts, for a simulation without fabric.
func (d Dir) CreatePlain() error {
	if err := private(filepath.Dir(string(d))); err != nil {
		return err
	}
	return os.Mkdir(string(d), 0o700)
}

// Remove unmounts and deletes the directory; one that is gone is no error.
func (d Dir) Remove() error {
	err := netns.UnmountBelow(string(d))
	return errors.Join(err, os.RemoveAll(string(d)))
}

// New makes the namespaces of a host.
func New(d Dir, host string) error {
	if err := netns.NewNet(d.Net(host)); err != nil {
		return err
	}
	for _, sub := range []string{"run", "etc", "etc.work", "lib", "lib.work", "cgroup"} {
		if err := os.MkdirAll(d.node(host, sub), 0o755); err != nil {
			return err
		}
	}
	return netns.NewMount(d.Mount(host), d.Net(host), func() error { return mounts(d, host) })
}

// mounts arranges the host's own view; it runs inside the new mount namespace.
func mounts(d Dir, host string) error {
	overlay := func(dir, upper string) error {
		opts := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", dir, d.node(host, upper), d.node(host, upper+".work"))
		if err := unix.Mount("overlay", dir, "overlay", 0, opts); err != nil {
			return fmt.Errorf("mounting an overlay on %s: %w", dir, err)
		}
		return nil
	}
	if err := overlay("/etc", "etc"); err != nil {
		return err
	}
	if err := overlay("/var/lib", "lib"); err != nil {
		return err
	}
	// A fresh sysfs shows the links of the namespace that mounts it; the control groups stay.
	const cgroup = "/sys/fs/cgroup"
	kept := unix.Mount(cgroup, d.node(host, "cgroup"), "", unix.MS_BIND|unix.MS_REC, "") == nil
	if err := unix.Mount("sysfs", "/sys", "sysfs", 0, ""); err != nil {
		return fmt.Errorf("mounting sysfs: %w", err)
	}
	if kept {
		if err := unix.Mount(d.node(host, "cgroup"), cgroup, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
			return fmt.Errorf("keeping %s: %w", cgroup, err)
		}
	}
	if err := unix.Mount(d.Run(host), "/run", "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("binding /run: %w", err)
	}
	return nil
}

// Addr is the address of a host on its eth0.
type Addr struct {
	Prefix netip.Prefix // address with the subnet's length
	Router netip.Addr   // invalid: eth0 itself is the way to everywhere
}

// docker0 is what a container runtime leaves on a host before any of this.
const docker0 = "172.17.0.1/16"

// Boot configures a host's links as a distribution does: lo, a docker0-like
// bridge first if withBridge, then eth0 by DHCP's answer. Forwarding is off and
// reverse-path filtering strict.
func Boot(d Dir, host string, a Addr, withBridge bool) error {
	return netns.Do(d.Net(host), func() error {
		for path, value := range map[string]string{
			"ipv4/ip_forward": "0", "ipv4/conf/all/rp_filter": "1", "ipv4/conf/default/rp_filter": "1", "ipv4/conf/eth0/rp_filter": "1",
		} {
			if err := os.WriteFile("/proc/sys/net/"+path, []byte(value), 0o644); err != nil {
				return err
			}
		}
		if err := up("lo"); err != nil {
			return err
		}
		if withBridge {
			if err := bridge(); err != nil {
				return fmt.Errorf("making docker0: %w", err)
			}
		}
		return eth0(a)
	})
}

func up(name string) error {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(l)
}

func bridge() error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "docker0"
	if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil {
		return err
	}
	l, err := netlink.LinkByName("docker0")
	if err != nil {
		return err
	}
	addr, err := netlink.ParseAddr(docker0)
	if err != nil {
		return err
	}
	if err := netlink.AddrAdd(l, addr); err != nil {
		return err
	}
	return netlink.LinkSetUp(l)
}

func eth0(a Addr) error {
	l, err := netlink.LinkByName("eth0")
	if err != nil {
		return err
	}
	ip := &net.IPNet{IP: a.Prefix.Addr().AsSlice(), Mask: net.CIDRMask(a.Prefix.Bits(), 32)}
	if err := netlink.AddrAdd(l, &netlink.Addr{IPNet: ip}); err != nil {
		return err
	}
	if err := netlink.LinkSetUp(l); err != nil {
		return err
	}
	def := &netlink.Route{LinkIndex: l.Attrs().Index, Dst: &net.IPNet{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)}}
	if a.Router.IsValid() {
		def.Gw = a.Router.AsSlice()
	} else {
		def.Scope = netlink.SCOPE_LINK
	}
	return netlink.RouteAdd(def)
}

// InSubnet is the address of a VPC host: its subnet's length and router.
func InSubnet(ip netip.Addr, subnet netip.Prefix) Addr {
	return Addr{netip.PrefixFrom(ip, subnet.Bits()), vpcnet.Router(subnet)}
}
