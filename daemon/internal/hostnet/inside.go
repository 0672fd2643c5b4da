package hostnet

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// room is a pod as its own network namespace shows it.
type room struct {
	pod   Pod
	alias vpcnet.Attachment
	mac   string // of the host veth
	alone bool   // the container's only interface of ours
}

// CheckInside looks into the network namespaces of the pods: the address, the way
// out and the permanent neighbour that vpc-veth has made there. A namespace is
// found among the files in dirs by the number that the kernel has for the other end
// of the host veth. It changes nothing; notes say what could not be looked at.
func (h *Host) CheckInside(pods []Pod, dirs ...string) (found []Difference, notes []string, err error) {
	h.sync.Lock()
	defer h.sync.Unlock()
	rooms, err := h.rooms(pods)
	if err != nil || len(rooms) == 0 {
		return nil, nil, err
	}
	for _, path := range namespaceFiles(dirs) {
		if len(rooms) == 0 {
			break
		}
		ns, err := netns.GetFromPath(path)
		if err != nil {
			continue // it went meanwhile
		}
		id, err := h.nl.GetNetNsIdByFd(int(ns))
		if in, ok := rooms[id]; ok && err == nil && id >= 0 {
			delete(rooms, id)
			var more []Difference
			err := inNamespace(ns, func() error { more, err = look(in, path); return err })
			if errors.Is(err, unix.EPERM) {
				_ = ns.Close()
				return found, append(notes, "pods' network namespaces are not looked into: that needs CAP_SYS_ADMIN, which a container lacks"), nil
			}
			if err != nil {
				notes = append(notes, fmt.Sprintf("network namespace %s is not looked into: %s", path, err))
			}
			found = append(found, more...)
		}
		_ = ns.Close()
	}
	if len(rooms) > 0 {
		notes = append(notes, fmt.Sprintf("the network namespaces of %d pods have no file in %v: not looked into", len(rooms), dirs))
	}
	return found, notes, nil
}

// rooms are the pods whose host veth is there, by the number of the namespace that
// its other end is in. What is wrong with a host veth Check says.
func (h *Host) rooms(pods []Pod) (map[int][]room, error) {
	out, interfaces := map[int][]room{}, map[string]int{}
	for _, p := range pods {
		if p.HostVeth == "" {
			continue
		}
		l, err := h.nl.LinkByName(p.HostVeth)
		if _, gone := errors.AsType[netlink.LinkNotFoundError](err); gone {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("finding link %s: %w", p.HostVeth, err)
		}
		a, ok := vpcnet.ParseAlias(l.Attrs().Alias)
		if !ok || l.Type() != "veth" {
			continue
		}
		interfaces[a.ContainerID]++
		out[l.Attrs().NetNsID] = append(out[l.Attrs().NetNsID], room{pod: p, alias: a, mac: l.Attrs().HardwareAddr.String()})
	}
	delete(out, -1) // the other end is in this namespace
	for _, in := range out {
		for i := range in {
			in[i].alone = interfaces[in[i].alias.ContainerID] == 1
		}
	}
	return out, nil
}

// look compares the interfaces in the namespace that the thread is in.
func look(in []room, path string) (out []Difference, err error) {
	for _, r := range in {
		object := "pod " + r.pod.Addr.String()
		l, err := netlinksafe.LinkByName(r.alias.IfName)
		if _, gone := errors.AsType[netlink.LinkNotFoundError](err); gone {
			out = append(out, Difference{object, "its namespace has no interface " + r.alias.IfName + ": delete the pod, so that it is made again", false})
			continue
		}
		if err != nil {
			return out, err
		}
		texts, err := r.differences(l, path)
		if err != nil {
			return out, err
		}
		for _, t := range texts {
			out = append(out, Difference{object, t, false})
		}
	}
	return out, nil
}

const anew = ": delete the pod, so that it is made again"

func (r room) differences(l netlink.Link, path string) (out []string, err error) {
	name := l.Attrs().Name
	if l.Attrs().Flags&unix.IFF_UP == 0 {
		out = append(out, "the link "+name+" in it is down"+anew)
	}
	addrs, err := netlinksafe.AddrList(l, netlink.FAMILY_V4)
	if err != nil {
		return out, fmt.Errorf("listing its addresses: %w", err)
	}
	var have []netip.Prefix
	for _, a := range addrs {
		have = append(have, toPrefix(a.IPNet))
	}
	if !slices.ContainsFunc(have, func(p netip.Prefix) bool { return p.Addr() == r.pod.Addr }) {
		out = append(out, fmt.Sprintf("%s in it has %v, not the pod's address%s", name, have, anew))
	}
	gateway := vpcnet.PodGateway()
	neighbours, err := netlink.NeighList(l.Attrs().Index, netlink.FAMILY_V4)
	if err != nil {
		return out, fmt.Errorf("listing its neighbours: %w", err)
	}
	if !slices.ContainsFunc(neighbours, func(n netlink.Neigh) bool {
		return toAddr(n.IP) == gateway && n.State&netlink.NUD_PERMANENT != 0 && n.HardwareAddr.String() == r.mac
	}) {
		out = append(out, fmt.Sprintf("the permanent neighbour is missing: nsenter --net=%s ip neigh replace %s lladdr %s dev %s nud permanent", path, gateway, r.mac, name))
	}
	routes, err := netlinksafe.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return out, fmt.Errorf("listing its routes: %w", err)
	}
	// Beside another network's interface the default route may be that one's.
	if r.alone && !slices.ContainsFunc(routes, func(x netlink.Route) bool { return toPrefix(x.Dst).Bits() <= 0 }) {
		out = append(out, "it has no default route"+anew)
	}
	return out, nil
}
