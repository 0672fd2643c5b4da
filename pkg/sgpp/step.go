package sgpp

import "fmt"

type verb int

const (
	addLink   verb = iota // a VLAN link, down and without alias
	noIPv6                // no address, no router of the branch's subnet for the node itself
	claim                 // alias and UP in one message
	setMTU                //
	linkUp                //
	linkDown              // drops the routes by the link
	delLink               // drops its routes as well
	putRoute              // replaces one to the same destination in the same table
	delRoute              // by destination and table
	addRule               //
	delRule               //
	save                  // remembers what the sysctls were
	setSysctl             //
	forget                // the end of save
)

// step is one change to the kernel, or to the record of the sysctls. Which
// fields count depends on the verb.
type step struct {
	verb   verb
	link   link
	route  route
	rule   rule
	sysctl string            // path below /proc/sys
	value  string            // of the sysctl
	saved  map[string]string // by path
}

func (s step) String() string {
	switch s.verb {
	case addLink:
		return fmt.Sprintf("link add %s mac %s mtu %d vlan %d on %d", s.link.Name, s.link.MAC, s.link.MTU, s.link.VLAN, s.link.Parent)
	case noIPv6:
		return fmt.Sprintf("link %s without IPv6", s.link.Name)
	case claim:
		return fmt.Sprintf("link set %s alias %s up", s.link.Name, s.link.Alias)
	case setMTU:
		return fmt.Sprintf("link set %s mtu %d", s.link.Name, s.link.MTU)
	case linkUp:
		return fmt.Sprintf("link set %s up", s.link.Name)
	case linkDown:
		return fmt.Sprintf("link set %s down", s.link.Name)
	case delLink:
		return fmt.Sprintf("link del %s", s.link.Name)
	case putRoute:
		return "route replace " + s.route.String()
	case delRoute:
		return fmt.Sprintf("route del %s table %d", s.route.Dst, s.route.Table)
	case addRule:
		return "rule add " + s.rule.String()
	case delRule:
		return "rule del " + s.rule.String()
	case save:
		return fmt.Sprintf("remember %v", s.saved)
	case setSysctl:
		return fmt.Sprintf("sysctl %s %s", s.sysctl, s.value)
	default:
		return "forget the remembered sysctls"
	}
}
