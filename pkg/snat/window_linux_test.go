package snat

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netns"
)

// server is the address outside that the stream goes to.
const server = "203.0.113.9"

// street is a node (the test's own namespace) with a pod on its secondary ENI
// and the world outside, once behind each ENI.
type street struct {
	t                *testing.T
	pod, main, other string // namespaces: the pod, the world by the primary ENI, by the secondary one
}

func newStreet(t *testing.T) *street {
	t.Helper()
	s := &street{t: t}
	for i, name := range []*string{&s.pod, &s.main, &s.other} {
		*name = fmt.Sprintf("vcs%d-%d", os.Getpid(), i)
		run(t, "ip", "netns", "add", *name)
		t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", *name).Run() }) //nolint:gosec // the test's own name
	}
	run(t, "sh", "-ec", fmt.Sprintf(`
set_() { echo $2 > /proc/sys/net/$1; }
at() { n=$1; shift; nsenter --net=/run/netns/$n -- ip "$@"; } # ip -n wants a mount point as root, which a chroot is not
ip link add eth0 type veth peer name e0 netns %[2]s
ip link add eth1 type veth peer name e1 netns %[3]s
ip link add eni1 type veth peer name eth0 netns %[1]s
for l in eth0 eth1 eni1; do ip link set $l up; set_ ipv4/conf/$l/rp_filter 2; done
ip addr add 10.20.11.162/24 dev eth0; ip addr add 10.20.11.9/24 dev eth1 noprefixroute
ip route add default via 10.20.11.1; ip route add default via 10.20.11.1 dev eth1 onlink table 2
ip route add 100.64.47.199 dev eni1; ip rule add priority 1536 from 100.64.47.199 lookup 2
set_ ipv4/ip_forward 1
for ns in %[2]s:e0 %[3]s:e1; do ns_=${ns%%:*}; l=${ns#*:}
  at $ns_ link set $l up; at $ns_ link set lo up
  at $ns_ addr add 10.20.11.1/24 dev $l; at $ns_ addr add %[4]s/32 dev lo
  at $ns_ route add 100.64.0.0/16 via $([ $l = e0 ] && echo 10.20.11.162 || echo 10.20.11.9)
done
at %[1]s link set eth0 up; at %[1]s link set lo up
at %[1]s addr add 100.64.47.199/32 dev eth0; at %[1]s route add 169.254.1.1 dev eth0; at %[1]s route add default via 169.254.1.1
mac() { at $1 -br link show $2 | awk '{print $3}'; }
at %[1]s neigh add 169.254.1.1 dev eth0 nud permanent lladdr $(ip -br link show eni1 | awk '{print $3}')
ip neigh add 10.20.11.1 dev eth0 nud permanent lladdr $(mac %[2]s e0); ip neigh add 10.20.11.1 dev eth1 nud permanent lladdr $(mac %[3]s e1)
`, s.pod, s.main, s.other, server))
	return s
}

// in runs f on a thread in a namespace.
func in(name string, f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // the thread ends with the goroutine
		ns, err := netns.GetFromName(name)
		if err == nil {
			err = errors.Join(netns.Set(ns), ns.Close())
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	return <-done
}

// listen answers every datagram of the stream and counts them by source.
func (s *street) listen(name string) func() map[netip.Addr]int {
	var c *net.UDPConn
	if err := in(name, func() (err error) {
		c, err = net.ListenUDP("udp4", &net.UDPAddr{IP: net.ParseIP(server), Port: 9})
		return err
	}); err != nil {
		s.t.Fatal(err)
	}
	_ = c.SetReadBuffer(4 << 20) // a machine that is busy must not lose what arrived
	seen := map[netip.Addr]int{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			_, from, err := c.ReadFromUDPAddrPort(make([]byte, 16))
			if err != nil {
				return
			}
			seen[from.Addr().Unmap()]++
			_, _ = c.WriteToUDPAddrPort([]byte("y"), from)
		}
	}()
	return func() map[netip.Addr]int {
		_ = c.Close()
		<-done
		return seen
	}
}

// stream opens a new flow from the pod with every datagram until stop is set.
func (s *street) stream(stop *atomic.Bool) (sent int, err error) {
	err = in(s.pod, func() error {
		for !stop.Load() {
			c, err := net.Dial("udp4", server+":9")
			if err != nil {
				return err
			}
			_, err = c.Write([]byte("x"))
			if err = errors.Join(err, c.Close()); err != nil {
				return err
			}
			sent++
			time.Sleep(300 * time.Microsecond)
		}
		return nil
	})
	return sent, err
}

// changes are settings that all SNAT the stream, each different from the one
// before in CIDRs, exclusions, randomisation or shape.
func changes(t testing.TB, backend string) []Settings {
	var out []Settings
	for i := range 8 {
		texts := Texts{"backend": backend, "vpcCIDRs": "10.20.0.0/16,100.64.0.0/16"}
		if i&1 != 0 {
			texts["vpcCIDRs"] = "10.20.0.0/16,10.30.0.0/16,100.64.0.0/16"
		}
		if i&2 != 0 {
			texts["excludeSNATCIDRs"] = "192.168.0.0/16,198.51.100.0/24"
		}
		if i&4 != 0 {
			texts["randomizeSNAT"] = "hashrandom"
		}
		if i == 5 {
			texts["chainStyle"] = "flat"
		}
		out = append(out, scenario(t, texts))
	}
	return out
}

// Not one new flow leaves with the pod's own address, or by the secondary ENI,
// while the settings change 200 times and the daemon restarts in between.
func TestNoWindow(t *testing.T) {
	for _, tc := range []struct{ flavour, backend string }{{"nft", "iptables"}, {"legacy", "iptables"}, {"nft", "nftables"}} {
		t.Run(tc.flavour+" "+tc.backend, func(t *testing.T) {
			iptablesIs(t, tc.flavour)
			inNetns(t)
			s := newStreet(t)
			k := New(t.TempDir())
			all := changes(t, tc.backend)
			ensure(t, k, all[0])
			primary, secondary := s.listen(s.main), s.listen(s.other)
			var stop atomic.Bool
			var wg sync.WaitGroup
			var sent int
			wg.Go(func() {
				var err error
				if sent, err = s.stream(&stop); err != nil {
					t.Error(err)
				}
			})
			made := 0
			for i := range 200 {
				if i%20 == 19 {
					k = New(t.TempDir()) // a daemon that starts with no records
				}
				if len(ensure(t, k, all[(i+1)%len(all)])) > 0 {
					made++
				}
			}
			stop.Store(true)
			wg.Wait()
			time.Sleep(100 * time.Millisecond)
			byPrimary, bySecondary := primary(), secondary()
			t.Logf("%d changes, %d flows; sources by the primary ENI: %v", made, sent, byPrimary)
			if made < 200 || sent < 500 {
				t.Errorf("%d changes, %d flows: too few to tell", made, sent)
			}
			node := netip.MustParseAddr("10.20.11.162")
			if len(bySecondary) > 0 || len(byPrimary) != 1 || byPrimary[node] < sent*99/100 {
				t.Errorf("sources by the primary ENI %v, by the secondary one %v, of %d sent", byPrimary, bySecondary, sent)
			}
		})
	}
}

// A rule that does not change keeps its handle and its counters through a change
// of others.
func TestRightRulesAreNotTouched(t *testing.T) {
	iptablesIs(t, "nft")
	inNetns(t)
	k := New(t.TempDir())
	ensure(t, k, scenario(t))
	first := func() string { return run(t, "nft", "-a", "list", "chain", "ip", "nat", "AWS-SNAT-CHAIN-0") }
	mark := func() string { return run(t, "nft", "-a", "list", "chain", "ip", tableName, chainRestore) }
	run(t, "iptables", "-t", "nat", "-R", "AWS-SNAT-CHAIN-0", "1", "!", "-d", "10.20.0.0/16", "-m", "comment", "--comment", comment,
		"-j", "AWS-SNAT-CHAIN-1", "-c", "7", "700")
	chain, restore := first(), mark()
	for _, s := range changes(t, "iptables") {
		if s.ChainStyle == "flat" {
			continue
		}
		ensure(t, k, s)
		if !slices.Equal([]string{first(), mark()}, []string{chain, restore}) {
			t.Fatalf("touched by %v:\n%s%s", s, first(), mark())
		}
	}
}
