package main

import "github.com/vpcchain/vpcchain/pkg/ipamapi"

// view is the JSON of `vpcctl pool`; its names are stable.
type view struct {
	ENIs      []eniView `json:"enis"`
	Addresses int       `json:"addresses"` // primary addresses not counted
	Used      int       `json:"used"`
	Cooling   int       `json:"cooling"`
	Available int       `json:"available"`
	Waiters   int       `json:"waiters"`
	Demand    int       `json:"demand"` // pods that Kubernetes has sent here, and that have not asked yet
	Plan      []string  `json:"plan"`
	// Lost are addresses that pods hold and that no ENI has any more.
	Lost []addressView `json:"lost"`
	// Trunk is null where the daemon gives no branch ENIs.
	Trunk *trunkView `json:"trunk"`
}

type eniView struct {
	ID        string        `json:"id"`
	Device    int           `json:"device"`
	Card      int           `json:"card"`
	MAC       string        `json:"mac"`
	MTU       int           `json:"mtu"`
	Link      string        `json:"link"`
	Primary   string        `json:"primary"`
	Subnet    string        `json:"subnet"`
	SubnetID  string        `json:"subnetID"`
	Table     int           `json:"table"`
	Ready     bool          `json:"ready"`
	Note      string        `json:"note"`
	Drain     *drainView    `json:"drain"` // null: it is not being drained
	Addresses []addressView `json:"addresses"`
	Prefixes  []prefixView  `json:"prefixes"`
}

// prefixView is a delegated prefix; its addresses are among the ENI's.
type prefixView struct {
	Prefix    string `json:"prefix"`
	Used      int    `json:"used"`
	Cooling   int    `json:"cooling"`
	Available int    `json:"available"`
}

type addressView struct {
	Address     string `json:"address"`
	State       string `json:"state"` // free, used, cooling, reserved, withheld
	Note        string `json:"note,omitempty"`
	Network     string `json:"network,omitempty"`
	ContainerID string `json:"containerID,omitempty"`
	IfName      string `json:"ifname,omitempty"`
	Namespace   string `json:"namespace,omitempty"`
	Pod         string `json:"pod,omitempty"`
}

func viewOf(r *ipamapi.PoolReply) view {
	t := r.GetTotals()
	v := view{
		Addresses: int(t.GetAddresses()), Used: int(t.GetUsed()), Cooling: int(t.GetCooling()), Available: int(t.GetAvailable()),
		Waiters: int(r.GetWaiters()), Demand: int(r.GetDemand()), Plan: r.GetPlan(), ENIs: []eniView{}, Lost: []addressView{},
	}
	v.Trunk = trunkOf(r.GetTrunk())
	for _, a := range r.GetLost() {
		v.Lost = append(v.Lost, addressOf(a))
	}
	for _, e := range r.GetEnis() {
		out := eniView{
			ID: e.GetEni().GetId(), Device: int(e.GetEni().GetDevice()), Card: int(e.GetEni().GetCard()), MAC: e.GetEni().GetMac(),
			MTU: int(e.GetEni().GetMtu()), Link: e.GetLink(), Primary: e.GetPrimary(), Subnet: e.GetSubnet(), SubnetID: e.GetSubnetId(),
			Table: int(e.GetTable()), Ready: e.GetReady(), Note: e.GetNote(), Drain: drainOf(e.GetDrain()), Addresses: []addressView{}, Prefixes: []prefixView{},
		}
		for _, a := range e.GetAddresses() {
			out.Addresses = append(out.Addresses, addressOf(a))
		}
		for _, p := range e.GetPrefixes() {
			out.Prefixes = append(out.Prefixes, prefixView{p.GetPrefix(), int(p.GetUsed()), int(p.GetCooling()), int(p.GetAvailable())})
		}
		v.ENIs = append(v.ENIs, out)
	}
	return v
}

func addressOf(a *ipamapi.PoolAddress) addressView {
	state := map[ipamapi.PoolAddress_State]string{
		ipamapi.PoolAddress_STATE_FREE: "free", ipamapi.PoolAddress_STATE_USED: "used", ipamapi.PoolAddress_STATE_COOLING: "cooling",
		ipamapi.PoolAddress_STATE_RESERVED: "reserved", ipamapi.PoolAddress_STATE_WITHHELD: "withheld",
	}[a.GetState()]
	return addressView{
		Address: a.GetAddress(), State: state, Note: a.GetNote(), Network: a.GetAttachment().GetNetwork(),
		ContainerID: a.GetAttachment().GetContainerId(), IfName: a.GetAttachment().GetIfname(),
		Namespace: a.GetPod().GetNamespace(), Pod: a.GetPod().GetName(),
	}
}

// doubtful says which addresses are in doubt and why, one a line.
func (v view) doubtful() []string {
	all := v.Lost
	for _, e := range v.ENIs {
		all = append(all, e.Addresses...)
	}
	var out []string
	for _, a := range all {
		if a.Note == "" {
			continue
		}
		who := ""
		if a.ContainerID != "" {
			who = " by " + a.Network + "/" + a.ContainerID + "/" + a.IfName
		}
		out = append(out, a.Address+" "+a.State+who+": "+a.Note)
	}
	return out
}
