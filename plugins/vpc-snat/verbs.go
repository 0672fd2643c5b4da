package main

import (
	"errors"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"

	"github.com/vpcchain/vpcchain/pkg/cnierr"
	"github.com/vpcchain/vpcchain/pkg/netconf"
	"github.com/vpcchain/vpcchain/pkg/snat"
)

func add(args *skel.CmdArgs) error { return cnierr.From(doAdd(args)) }

func doAdd(args *skel.CmdArgs) error {
	c, err := parse(args.StdinData)
	if err != nil {
		return err
	}
	prev, err := netconf.PrevResult(args.StdinData)
	if err != nil {
		return err
	}
	s, err := c.settings()
	if err != nil {
		return err
	}
	if err := s.Missing(); err != nil {
		return cnierr.As(cnierr.Config, err)
	}
	k := snat.ForFacts(c.facts)
	if err := k.Ask(c.wish, c.node); err != nil {
		if errors.Is(err, snat.ErrDisagree) {
			return cnierr.As(cnierr.Config, err)
		}
		return cnierr.As(cnierr.IO, err)
	}
	if _, err := k.Ensure(c.load(k)); err != nil {
		return cnierr.As(cnierr.IO, err)
	}
	return types.PrintResult(prev, c.version)
}

// load reads the node's settings as they are at the moment of writing.
func (c conf) load(k *snat.Keeper) func() (snat.Settings, error) {
	return func() (snat.Settings, error) { return k.Load(c.facts) }
}

// del has nothing to do: no rule is a pod's own, and vpc-ipamd forgets the tracked
// connections of a released address. It must not fail either: that would keep
// vpc-veth and vpc-ipam from theirs.
func del(*skel.CmdArgs) error { return nil }

func check(args *skel.CmdArgs) error {
	c, err := parse(args.StdinData)
	if err == nil {
		_, err = netconf.PrevResult(args.StdinData)
	}
	if err != nil {
		return cnierr.From(err)
	}
	k := snat.ForFacts(c.facts)
	s, err := k.Load(c.facts)
	if err == nil {
		err = k.Check(s)
	}
	return cnierr.From(err)
}

// status tells whether the node can NAT; what is wrong with its rules is for
// the next ADD, or vpc-ipamd, to repair.
func status(args *skel.CmdArgs) error {
	c, err := parse(args.StdinData)
	if err != nil {
		return cnierr.From(err)
	}
	s, err := c.settings()
	if err == nil {
		err = cnierr.As(cnierr.NotAvailable, snat.Available(s))
	}
	if err == nil {
		err = cnierr.As(cnierr.Limited, snat.Degraded())
	}
	return cnierr.From(err)
}

// gc removes what no setting asks for any more: it looks at all of the node's
// rules. Which attachments are valid makes no difference here.
func gc(args *skel.CmdArgs) error {
	c, err := parse(args.StdinData)
	if err != nil {
		return cnierr.From(err)
	}
	k := snat.ForFacts(c.facts)
	if w, err := k.Wish(); err != nil || w.Network == "" {
		return cnierr.From(err) // no pod was ever added: nothing of ours is there
	}
	_, err = k.Verify(c.load(k))
	return cnierr.From(cnierr.As(cnierr.IO, err))
}
