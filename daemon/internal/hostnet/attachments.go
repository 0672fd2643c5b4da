package hostnet

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"

	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// Found is a pod interface that the kernel knows of.
type Found struct {
	Attachment vpcnet.Attachment
	HostVeth   string
	Addr       netip.Addr // invalid when table 5120 has no route for the veth
}

// Attachments reads the pod interfaces back from the kernel: links whose alias
// is an attachment, and their routes in table 5120, by name of the host veth. It
// serves to rebuild lost state and to find what nobody owns any more.
func (h *Host) Attachments(ctx context.Context) ([]Found, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	h.sync.Lock()
	defer h.sync.Unlock()
	links, err := h.nl.LinkList()
	if err != nil {
		return nil, fmt.Errorf("listing links: %w", err)
	}
	routes, err := h.nl.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Table: vpcnet.TablePods}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return nil, fmt.Errorf("listing the pod routes: %w", err)
	}
	addrs := make(map[int]netip.Addr, len(routes))
	for _, r := range routes {
		if p := toPrefix(r.Dst); p.IsSingleIP() {
			addrs[r.LinkIndex] = p.Addr()
		}
	}
	var found []Found
	for _, l := range links {
		if a, ok := vpcnet.ParseAlias(l.Attrs().Alias); ok {
			found = append(found, Found{Attachment: a, HostVeth: l.Attrs().Name, Addr: addrs[l.Attrs().Index]})
		}
	}
	slices.SortFunc(found, func(a, b Found) int { return strings.Compare(a.HostVeth, b.HostVeth) })
	return found, nil
}
