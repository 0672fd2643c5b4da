package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/vpcchain/vpcchain/pkg/carrier"
	"github.com/vpcchain/vpcchain/pkg/cnierr"
	"github.com/vpcchain/vpcchain/pkg/netconf"
	"github.com/vpcchain/vpcchain/pkg/sgpp"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

func add(args *skel.CmdArgs) error { return cnierr.From(ofPod(args, doAdd(args))) }

func doAdd(args *skel.CmdArgs) error {
	c, err := parse(args.StdinData)
	if err != nil {
		return err
	}
	prev, err := netconf.PrevResult(args.StdinData)
	if err != nil {
		return err
	}
	a, err := announcedBy(prev, c.network, args)
	if err != nil {
		return err
	}
	if a != nil {
		if err := c.addBranch(a, args); err != nil {
			return err
		}
	}
	return types.PrintResult(prev, c.version)
}

// addBranch makes the branch, and ends when the pod can send.
func (c conf) addBranch(a *announced, args *skel.CmdArgs) error {
	b, n, err := c.complete(a)
	if err != nil {
		return err
	}
	pod, err := openPod(args.Netns)
	if err != nil {
		return err
	}
	k, err := c.open()
	if err != nil {
		return err
	}
	if err = k.Add(b, n); err == nil {
		if err = carrier.Await(pod, args.IfName); err != nil {
			err = errors.Join(err, k.Del(sgpp.Leaving{ContainerID: args.ContainerID, IfName: args.IfName, Branch: b}))
		}
	}
	switch {
	case errors.Is(err, sgpp.ErrTaken):
		return cnierr.As(cnierr.IO, err)
	case errors.Is(err, sgpp.ErrNoTrunk), errors.Is(err, sgpp.ErrNoVeth), errors.Is(err, unix.ENODEV):
		return cnierr.As(cnierr.TryAgain, err)
	}
	return cnierr.As(cnierr.IO, err)
}

func openPod(path string) (netlinksafe.Handle, error) {
	if err := netconf.RefuseHostNetns(path); err != nil {
		return netlinksafe.Handle{}, err
	}
	fd, err := netns.GetFromPath(path)
	if err != nil {
		return netlinksafe.Handle{}, cnierr.New(cnierr.Netns, "opening network namespace %s: %w", path, err)
	}
	h, err := netlinksafe.NewHandleAt(fd, unix.NETLINK_ROUTE)
	if err != nil {
		return h, cnierr.New(cnierr.Netns, "opening netlink in %s: %w", path, err)
	}
	return h, nil
}

// complete adds to what prevResult tells what the conflist and the node facts do.
func (c conf) complete(a *announced) (sgpp.Branch, sgpp.Node, error) {
	named := c.trunkMAC
	c, err := c.withFacts()
	if err != nil {
		return sgpp.Branch{}, sgpp.Node{}, err
	}
	b, n := a.branch, sgpp.Node{TrunkMAC: cmp.Or(named, a.trunkMAC, c.trunkMAC), NodeIP: c.nodeIP}
	b.Mode = c.mode
	if err := b.Validate(); err != nil {
		return b, n, cnierr.New(cnierr.Config, "prevResult: %w", err)
	}
	if n.TrunkMAC == "" {
		return b, n, cnierr.New(cnierr.Config, "the trunk ENI of %s is unknown: neither prevResult nor the node facts name one; set trunkMAC in the conflist", b.Link())
	}
	if len(b.Attachment.Alias()) > vpcnet.MaxAlias {
		return b, n, cnierr.New(cnierr.Config, "network name %q: with the container id it exceeds the %d characters of a link's alias", c.network, vpcnet.MaxAlias)
	}
	return b, n, nil
}

// ofPod names the pod in an error, as the daemon's log and the runtime's events
// are searched by it.
func ofPod(args *skel.CmdArgs, err error) error {
	pod := netconf.PodOf(args.Args)
	if err == nil || pod.Name == "" {
		return err
	}
	return fmt.Errorf("pod %s/%s: %w", pod.Namespace, pod.Name, err)
}

func del(args *skel.CmdArgs) error { return cnierr.From(ofPod(args, doDel(args))) }

// doDel removes what the container's interface has of a branch. prevResult helps
// where the VLAN link is gone; what it says wrong, or not, keeps nothing alive.
func doDel(args *skel.CmdArgs) error {
	c, err := parse(args.StdinData)
	if err != nil {
		return err
	}
	who := sgpp.Leaving{ContainerID: args.ContainerID, IfName: args.IfName}
	if prev, err := netconf.PrevResult(args.StdinData); err == nil {
		a, err := announcedBy(prev, c.network, args)
		if a == nil && err == nil {
			return nil // a pod without a branch
		}
		if a != nil {
			who.Branch = a.branch
		}
	}
	k, err := c.open()
	if err != nil {
		return err
	}
	return cnierr.As(cnierr.IO, k.Del(who))
}

func check(args *skel.CmdArgs) error { return cnierr.From(ofPod(args, doCheck(args))) }

func doCheck(args *skel.CmdArgs) error {
	c, err := parse(args.StdinData)
	if err != nil {
		return err
	}
	prev, err := netconf.PrevResult(args.StdinData)
	if err != nil {
		return err
	}
	a, err := announcedBy(prev, c.network, args)
	if a == nil || err != nil {
		return err
	}
	b, n, err := c.complete(a)
	if err != nil {
		return err
	}
	k, err := c.open()
	if err != nil {
		return err
	}
	return k.Check(b, n)
}

// status is about the trunk ENI: without one there are no branches on this node,
// and other pods do not need it.
func status(args *skel.CmdArgs) error {
	c, err := parse(args.StdinData)
	if err == nil {
		c, err = c.withFacts()
	}
	if err != nil {
		return cnierr.From(cnierr.As(cnierr.NotAvailable, err))
	}
	if c.trunkMAC == "" {
		return nil
	}
	k, err := c.open()
	if err != nil {
		return cnierr.From(err)
	}
	return cnierr.From(cnierr.As(cnierr.Limited, k.Trunk(c.trunkMAC)))
}

func gc(args *skel.CmdArgs) error { return cnierr.From(doGC(args)) }

// doGC removes every branch of this network that is not valid any more.
func doGC(args *skel.CmdArgs) error {
	c, err := parse(args.StdinData)
	if err != nil {
		return err
	}
	valid, err := netconf.Valid(args.StdinData, c.network)
	if err != nil {
		return err
	}
	k, err := c.open()
	if err != nil {
		return err
	}
	return cnierr.As(cnierr.IO, k.GC(c.network, func(a vpcnet.Attachment) bool { return slices.Contains(valid, a) }))
}
