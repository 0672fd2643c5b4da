package decide

import "github.com/vpcchain/vpcchain/daemon/internal/pool"

// grow fills the ENIs that exist, then makes new ones. What is in flight counts
// as done: a burst of pods asks for the whole of what it needs at once, once.
func (in Input) grow(n need) []Action {
	out := in.fill(&n)
	per, leaving := in.Limits.Secondary(), false
	slots := in.maxENI() - len(in.Pool.ENIs)
	for _, a := range in.InFlight {
		leaving = leaving || a.Kind == Unassign
		if a.Kind == Create {
			slots--
		}
	}
	if in.Waiters == 0 {
		// A free address of the other mode is in the way of an own one: it goes
		// before another ENI comes. Pods that wait would have got it.
		if swap := in.swap(n); leaving || len(swap) > 0 {
			return append(out, swap...)
		}
	}
	in.promise(&n)
	for ; slots > 0 && per > 0; slots-- {
		a, ok := in.chunk(&n, per, false)
		if !ok {
			break
		}
		a.Kind = Create
		out = append(out, a)
	}
	return out
}

// fill takes from the need what fits on the ENIs that exist, and assigns it where
// no call is under way.
func (in Input) fill(n *need) []Action {
	var out []Action
	busy, assigning := map[string]int{}, in.assigning()
	for _, a := range in.InFlight {
		busy[a.ENI] += a.Count + a.Prefixes + len(a.Addrs) + len(a.Blocks)
	}
	for _, e := range in.Pool.ENIs {
		room := in.Limits.Secondary() - len(e.Addresses) - len(e.Prefixes) - busy[e.ID]
		if room <= 0 || e.Reserved || e.Full || e.Draining {
			continue
		}
		if a, ok := in.chunk(n, room, in.Fragmented[e.SubnetID]); ok && !assigning[e.ID] {
			a.Kind, a.ENI = Assign, e.ID
			out = append(out, a)
		}
	}
	return out
}

// chunk takes what an ENI with so much room can get of the need. A prefix takes
// as much room as an address.
func (in Input) chunk(n *need, room int, single bool) (Action, bool) {
	if in.Prefixes && !single {
		k := min(room, n.blocks)
		a := Action{Prefixes: k, Instead: max(min(room, n.addrs), 0)}
		n.blocks, n.addrs, n.room = n.blocks-k, n.addrs-k*perPrefix, n.room-k*perPrefix
		return a, k > 0
	}
	if n.addrs <= 0 {
		return Action{}, false
	}
	k := min(room, n.addrs)
	if !in.Prefixes && !in.perIP() {
		k = min(room, n.room) // a whole ENI is the unit of WARM_ENI_TARGET
	}
	n.addrs, n.room = n.addrs-k, n.room-k
	n.blocks = min(n.blocks, prefixesFor(n.addrs))
	return Action{Count: k}, k > 0
}

// swap gives back what is free of the other mode, as many pieces as are needed
// of this one.
func (in Input) swap(n need) []Action {
	pieces := n.addrs
	if in.Prefixes {
		pieces = n.blocks
	}
	var out []Action
	for _, e := range in.Pool.ENIs {
		if e.Full || e.Reserved {
			continue
		}
		addrs, blocks := in.foreign(e)
		addrs = addrs[:min(len(addrs), max(pieces, 0))]
		blocks = blocks[:min(len(blocks), max(pieces, 0))]
		pieces -= len(addrs) + len(blocks)
		out = append(out, giveBack(e, addrs, blocks)...)
	}
	return out
}

// foreign are the free pieces of the ENI that are not of the mode's kind.
func (in Input) foreign(e pool.ENI) (addrs []pool.Address, blocks []pool.Block) {
	if !in.ownKind(e, false) {
		addrs = freeSingles(e)
	}
	if !in.ownKind(e, true) {
		blocks = wholeBlocks(e)
	}
	return addrs, blocks
}
