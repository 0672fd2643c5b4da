package explain

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// End reads an end of a connection as a person writes it: an IPv4 address,
// "node", or NAMESPACE/POD where the daemon's view is in the snapshot.
func (s Snapshot) End(text string) (netip.Addr, error) {
	if text == "node" {
		for _, l := range s.Links {
			for _, a := range s.Addrs {
				if l.MAC == s.Primary && l.MAC != "" && a.Link == l.Index {
					return a.Prefix.Addr(), nil
				}
			}
		}
		return netip.Addr{}, errors.New("the node's address is not known: name it")
	}
	if strings.Contains(text, "/") {
		for _, e := range s.ENIs {
			for a, p := range e.Pods {
				if p.Name == text {
					return a, nil
				}
			}
		}
		return netip.Addr{}, fmt.Errorf("no pod %q has an address here, or vpc-ipamd does not answer: name its address", text)
	}
	a, err := netip.ParseAddr(text)
	if err != nil || !a.Is4() {
		return netip.Addr{}, fmt.Errorf("%q is no IPv4 address, not \"node\", and no NAMESPACE/POD", text)
	}
	return a, nil
}
