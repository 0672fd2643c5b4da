package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/vpcchain/vpcchain/pkg/cnierr"
	"github.com/vpcchain/vpcchain/pkg/netconf"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

func add(args *skel.CmdArgs) error { return cnierr.From(doAdd(args)) }

func doAdd(args *skel.CmdArgs) error {
	c, err := parse(args.StdinData)
	if err = errors.Join(err, c.factsErr); err != nil {
		return err
	}
	prev, err := netconf.PrevResult(args.StdinData)
	if err != nil {
		return err
	}
	if err := netconf.RefuseHostNetns(args.Netns); err != nil {
		return err
	}
	p, err := newPlan(c, args, prev)
	if err != nil {
		return err
	}
	if !c.hasFacts {
		if err := forward(); err != nil {
			return err
		}
	}
	k, err := open(args.Netns)
	if err != nil {
		return err
	}
	routed, err := k.apply(&p)
	if err != nil {
		return err
	}
	return types.PrintResult(p.result(prev, args.Netns, routed), c.version)
}

func del(args *skel.CmdArgs) error { return cnierr.From(doDel(args)) }

// doDel removes the pair if it is this attachment's, whatever is left of it and
// whether or not the namespace or prevResult still exist.
func doDel(args *skel.CmdArgs) error {
	c, err := parse(args.StdinData)
	if err != nil {
		return err
	}
	host, err := netlinksafe.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("opening netlink: %w", err)
	}
	k := &kernel{host: host}
	names := []string{c.hostVethName(args)}
	if prev, err := netconf.PrevResult(args.StdinData); err == nil && len(prev.Interfaces) > 0 && prev.Interfaces[0].Sandbox == "" {
		names = append(names, prev.Interfaces[0].Name)
	}
	var errs []error
	for _, name := range names {
		l, err := host.LinkByName(name)
		switch {
		case errors.As(err, &netlink.LinkNotFoundError{}):
		case err != nil:
			errs = append(errs, fmt.Errorf("finding link %s: %w", name, err))
		case belongs(l.Attrs().Alias, args):
			errs = append(errs, k.remove(l.Attrs().Index))
		}
	}
	return errors.Join(append(errs, k.delHalfMade(args, names[0]))...)
}

// belongs tells whether the alias is of the container's interface, on whatever
// network: an admin may rename the network between ADD and DEL.
func belongs(alias string, args *skel.CmdArgs) bool {
	a, ours := vpcnet.ParseAlias(alias)
	return ours && a.ContainerID == args.ContainerID && a.IfName == args.IfName
}

// delHalfMade removes what a killed ADD left in the pod's namespace: a veth
// named as the interface, whose other end has our name and no alias yet. A path
// that another pod uses by now leads to an end with that pod's alias.
func (k *kernel) delHalfMade(args *skel.CmdArgs, hostVeth string) error {
	if args.Netns == "" {
		return nil // the namespace is gone, and both ends with it
	}
	fd, err := netns.GetFromPath(args.Netns)
	if err != nil {
		return nil
	}
	defer func() { _ = fd.Close() }()
	pod, err := netlink.NewHandleAt(fd, unix.NETLINK_ROUTE)
	if err != nil {
		return nil
	}
	inside, err := pod.LinkByName(args.IfName)
	if err != nil || inside.Type() != "veth" {
		return nil
	}
	outside, err := k.host.LinkByIndex(inside.Attrs().ParentIndex)
	if err != nil || outside.Attrs().Name != hostVeth || outside.Attrs().Alias != "" {
		return nil
	}
	return k.remove(outside.Attrs().Index)
}

func status(args *skel.CmdArgs) error {
	c, err := parse(args.StdinData)
	return cnierr.From(cnierr.As(cnierr.NotAvailable, errors.Join(err, c.factsErr)))
}

func gc(args *skel.CmdArgs) error { return cnierr.From(doGC(args)) }

// doGC removes every pair of this network that is not valid any more.
func doGC(args *skel.CmdArgs) error {
	c, err := parse(args.StdinData)
	if err != nil {
		return err
	}
	valid, err := netconf.Valid(args.StdinData, c.network)
	if err != nil {
		return err
	}
	host, err := netlinksafe.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("opening netlink: %w", err)
	}
	links, err := host.LinkList()
	if err != nil {
		return fmt.Errorf("listing links: %w", err)
	}
	k := &kernel{host: host}
	var errs []error
	for _, l := range links {
		a, ours := vpcnet.ParseAlias(l.Attrs().Alias)
		if ours && l.Type() == "veth" && a.Network == c.network && !slices.Contains(valid, a) {
			errs = append(errs, k.remove(l.Attrs().Index))
		}
	}
	return errors.Join(errs...)
}
