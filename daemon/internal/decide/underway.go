package decide

// promise takes from the need what will fit on ENIs where a call is under way:
// one that is asked for addresses is asked again when it has answered, for
// everybody who came meanwhile, and one that is being made is filled when it is
// there. So pods that come one by one cost neither a call each nor an ENI each.
// An address may come a call later for it; a perfect plan, which knows who will
// come, is better by no more than that.
func (in Input) promise(n *need) {
	for _, a := range in.InFlight {
		if a.Kind == Create {
			in.chunk(n, in.Limits.Secondary()-a.Count-a.Prefixes, false)
		}
	}
}

// assigning are the ENIs that EC2 is being asked to give addresses to.
func (in Input) assigning() map[string]bool {
	out := map[string]bool{}
	for _, a := range in.InFlight {
		if a.Kind == Assign {
			out[a.ENI] = true
		}
	}
	return out
}

// Enlarge gives a Create, which is in flight in the books but has not called EC2
// yet, the size that is right by now: between the decision and the call EC2 may
// have been asked for subnets, and more pods have come. The rest of what the
// pool wants beside it, the targets included, is as Decide says.
func Enlarge(in Input, a Action) Action {
	n := in.need(in.count())
	if a.Kind != Create || n.addrs <= 0 {
		return a
	}
	in.fill(&n)
	more, ok := in.chunk(&n, in.Limits.Secondary()-a.Count-a.Prefixes, a.Prefixes == 0 && a.Count > 0)
	if !ok {
		return a
	}
	a.Count, a.Prefixes, a.Instead = a.Count+more.Count, a.Prefixes+more.Prefixes, min(a.Instead+more.Instead, in.Limits.Secondary())
	return a
}
