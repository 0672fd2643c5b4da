package pool

import "github.com/vpcchain/vpcchain/daemon/internal/eni"

// Drain keeps new pods off an ENI from now on, or no more. Pods that have an
// address there keep it; the free ones are reserved, so that they count for
// nothing. An ENI that the pool does not have yet may be told of, too.
func (p *Pool) Drain(id string, on bool) {
	if !on {
		delete(p.draining, id)
		return
	}
	if p.draining == nil {
		p.draining = map[string]bool{}
	}
	p.draining[id] = true
}

// drains tells whether the ENI is being drained. One that carries no pods anyway is not.
func (p *Pool) drains(e eni.ENI) bool { return p.draining[e.ID] && !e.IsPrimary() && !p.reserves(e) }
