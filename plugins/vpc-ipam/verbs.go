package main

import (
	"context"
	"errors"
	"net"
	"net/netip"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"

	"github.com/vpcchain/vpcchain/pkg/cnierr"
	"github.com/vpcchain/vpcchain/pkg/cnitrace"
	"github.com/vpcchain/vpcchain/pkg/ipamclient"
	"github.com/vpcchain/vpcchain/pkg/netconf"
	"github.com/vpcchain/vpcchain/pkg/spool"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// plugin is the process, which runs one verb.
type plugin struct{ trace *cnitrace.Plugin }

// call parses the configuration and hands it to f with a client, whose calls
// belong to the trace of the verb.
func (p plugin) call(stdin []byte, f func(conf, *ipamclient.Client) error) error {
	c, err := parse(stdin)
	if err != nil {
		return cnierr.From(err)
	}
	return cnierr.From(f(c, ipamclient.New(c.socket).Traced(p.trace.Span())))
}

func (c conf) attachment(args *skel.CmdArgs) vpcnet.Attachment {
	return vpcnet.Attachment{Network: c.network, ContainerID: args.ContainerID, IfName: args.IfName}
}

func (p plugin) add(args *skel.CmdArgs) error {
	return p.call(args.StdinData, func(c conf, client *ipamclient.Client) error {
		if c.second {
			return cnierr.New(cnierr.Config, "prevResult is given: vpc-ipam must be the first plugin of its chain, or another plugin's ipam")
		}
		if err := netconf.RefuseHostNetns(args.Netns); err != nil {
			return err
		}
		pod := netconf.PodOf(args.Args)
		wish, err := c.wish(pod)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(context.Background(), c.timeout)
		defer cancel()
		got, err := client.Assign(ctx, ipamclient.Request{
			Attachment: c.attachment(args), Pod: ipamclient.Pod(pod), Netns: args.Netns, Annotations: wish,
		})
		if err != nil {
			return err
		}
		if (got.Branch == nil) != (len(wish) == 0) {
			return c.mismatch(client, args, pod)
		}
		result := c.chained(got)
		if c.delegated {
			result = c.abbreviated(got)
		}
		return types.PrintResult(result, c.version)
	})
}

// chained is the hand-off to vpc-veth: the address as a host route's, and the
// ENI that carries it as an interface of the host. That of a branch comes behind
// its trunk, under the name of the link that vpc-sgpp makes.
func (c conf) chained(a ipamclient.Address) *types100.Result {
	carriers := []*types100.Interface{{Name: a.ENI, Mac: a.MAC, Mtu: a.MTU}}
	if a.Branch != nil {
		carriers = append(carriers, &types100.Interface{Name: vpcnet.BranchLink(a.Branch.VLAN), Mac: a.Branch.MAC, Mtu: a.MTU})
	}
	return &types100.Result{
		CNIVersion: types100.ImplementedSpecVersion,
		Interfaces: carriers,
		IPs: []*types100.IPConfig{{
			Interface: new(len(carriers) - 1), Address: ipNet(vpcnet.Host(a.Addr)), Gateway: a.Router.AsSlice(),
		}},
	}
}

// abbreviated is what an IPAM delegate returns: no interfaces, and the subnet's
// mask and router, because upstream ptp and bridge cannot route a /32.
func (c conf) abbreviated(a ipamclient.Address) *types100.Result {
	all := net.IPNet{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)}
	return &types100.Result{
		CNIVersion: types100.ImplementedSpecVersion,
		IPs:        []*types100.IPConfig{{Address: ipNet(netip.PrefixFrom(a.Addr, a.Subnet.Bits())), Gateway: a.Router.AsSlice()}},
		Routes:     []*types.Route{{Dst: all}},
	}
}

func ipNet(p netip.Prefix) net.IPNet {
	return net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// del releases the address, or leaves the release to the daemon's next start: a
// pod that is gone must not wait for a daemon that restarts.
func (p plugin) del(args *skel.CmdArgs) error {
	return p.call(args.StdinData, func(c conf, client *ipamclient.Client) error {
		ctx, cancel := ipamclient.Timeout(context.Background())
		defer cancel()
		err := client.Release(ctx, c.attachment(args))
		if err == nil {
			return nil
		}
		if serr := spool.Put(c.spoolDir(), c.attachment(args)); serr != nil {
			return errors.Join(err, serr)
		}
		return nil
	})
}

func (p plugin) check(args *skel.CmdArgs) error {
	return p.call(args.StdinData, func(c conf, client *ipamclient.Client) error {
		prev, err := netconf.PrevResult(args.StdinData)
		if err != nil {
			return err
		}
		ctx, cancel := ipamclient.Timeout(context.Background())
		defer cancel()
		for _, ip := range prev.IPs {
			addr, ok := netip.AddrFromSlice(ip.Address.IP)
			if !ok {
				return cnierr.New(cnierr.Config, "prevResult has the address %v", ip.Address.IP)
			}
			if err := client.Check(ctx, c.attachment(args), addr.Unmap()); err != nil {
				return err
			}
		}
		return nil
	})
}

// status tells whether an ADD would be served now. It is asked every few
// seconds by the runtime and must not queue behind anything.
func (p plugin) status(args *skel.CmdArgs) error {
	return p.call(args.StdinData, func(_ conf, client *ipamclient.Client) error {
		ctx, cancel := ipamclient.Timeout(context.Background())
		defer cancel()
		return client.Status(ctx)
	})
}

func (p plugin) gc(args *skel.CmdArgs) error {
	return p.call(args.StdinData, func(c conf, client *ipamclient.Client) error {
		valid, err := netconf.Valid(args.StdinData, c.network)
		if err != nil {
			return err
		}
		ctx, cancel := ipamclient.Timeout(context.Background())
		defer cancel()
		return client.Collect(ctx, c.network, valid)
	})
}
