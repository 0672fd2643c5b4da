package hostnet

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

type verb int

const (
	setSysctl verb = iota
	setMTU
	setUp
	addAddr
	delAddr
	putRoute // replaces in place a route of the same destination, table and metric
	delRoute
	addRule
	delRule
	setDown
	delLink
	delAlias
)

// step is one change to the kernel. Which fields count depends on the verb.
type step struct {
	verb   verb
	eni    string // the ENI that is not ready when the step fails, or empty
	link   link
	mtu    int
	addr   netip.Prefix
	route  route
	rule   rule
	sysctl string // path below /proc/sys
	value  string
	was    string
}

// passing tells that the step came too late and nothing is wrong: the pod whose
// route it repairs went away between the look at the kernel and the repair.
func (s step) passing(err error) bool {
	return s.verb == putRoute && s.route.Table == vpcnet.TablePods && (errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENETDOWN))
}

// kind is that of the object that the step changes.
func (s step) kind() string {
	switch s.verb {
	case setSysctl:
		return "sysctl"
	case addAddr, delAddr:
		return "address"
	case putRoute, delRoute:
		return "route"
	case addRule, delRule:
		return "rule"
	case setMTU, setUp, setDown, delLink, delAlias:
		return "link"
	}
	return ""
}

func (s step) String() string {
	switch s.verb {
	case setSysctl:
		return fmt.Sprintf("sysctl %s %s -> %s", s.sysctl, s.was, s.value)
	case setMTU:
		return fmt.Sprintf("link set %s mtu %d", s.link.Name, s.mtu)
	case setUp:
		return fmt.Sprintf("link set %s up", s.link.Name)
	case addAddr:
		return fmt.Sprintf("addr add %s dev %s noprefixroute", s.addr, s.link.Name)
	case delAddr:
		return fmt.Sprintf("addr del %s dev %s", s.addr, s.link.Name)
	case putRoute:
		return "route replace " + s.route.String()
	case delRoute:
		return "route del " + s.route.String()
	case addRule:
		return "rule add " + s.rule.String()
	case setDown:
		return fmt.Sprintf("link set %s down", s.link.Name)
	case delAlias:
		return fmt.Sprintf("link set %s alias %q -> none", s.link.Name, s.link.Alias)
	case delLink:
		return fmt.Sprintf("link del %s of %s", s.link.Name, s.link.Alias)
	default:
		return "rule del " + s.rule.String()
	}
}
