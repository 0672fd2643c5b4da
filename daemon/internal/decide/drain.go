package decide

import (
	"slices"

	"github.com/vpcchain/vpcchain/daemon/internal/pool"
)

// drained removes the ENIs that an operator drains and that have nobody left,
// neither a pod nor an address that rests or is in doubt. It waits for no surplus,
// and does not mind that the pool is short: at the instance's limit of ENIs only
// that makes room for another. The ENI's addresses have not counted since it was
// asked for, so nothing comes back for it.
func (in Input) drained() []Action {
	var out []Action
	for _, e := range in.Pool.ENIs {
		busy := slices.ContainsFunc(in.InFlight, func(a Action) bool { return a.ENI == e.ID })
		if e.Draining && !busy && e.Count(pool.Reserved) == len(e.Slots) {
			out = append(out, Action{Kind: Remove, ENI: e.ID})
		}
	}
	return out
}
