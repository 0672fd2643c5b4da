package pool

import (
	"net/netip"
	"time"
)

// Withhold makes the addresses given, and no others, ones that no pod gets; the
// value says why. An attachment that holds one keeps it. They come from doubt:
// the kernel uses an address that the books do not have, or EC2 does not list
// one that they do.
func (p *Pool) Withhold(why map[netip.Addr]string) { p.withheld = why }

// Rest lets a free address rest from now on, as after a release.
func (p *Pool) Rest(a netip.Addr, now time.Time) {
	if p.byAddr[a] == nil {
		p.freed[a] = now
	}
}

// doubt is why an address is withheld, or "".
func (p *Pool) doubt(a netip.Addr) string { return p.withheld[a] }
