package ec2

import (
	"time"

	"github.com/vpcchain/vpcchain/integration/vpcsim/topology"
)

// Conditions are those in force.
func (s *Sim) Conditions() topology.Conditions {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.topo.Conditions
}

// SetConditions changes how the region behaves from now on. LinkDelay is the
// fabric's: here it is only kept.
func (s *Sim) SetConditions(c topology.Conditions) error {
	if err := c.Check(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.topo.Conditions = c
	s.throttle.set(c.Throttling)
	s.past.begin(s)
	s.imds.record(s, time.Now())
	return nil
}

func (s *Sim) delay(d topology.Duration) time.Duration { return time.Duration(d) }

// settle carries out the detachments whose time has come; the caller holds the lock.
func (s *Sim) settle(now time.Time) {
	s.forget(now)
	if s.detaching == 0 {
		return
	}
	for _, e := range s.enis {
		if a := e.attachment; a != nil && a.detaching && !now.Before(a.gone) {
			s.loosen(e)
			s.past.record(s, a.gone)
		}
	}
}

// detach ends an attachment: at once for the instance, which loses the link,
// and after DetachDelay for EC2.
func (s *Sim) detach(e *eni, after time.Duration) error {
	now := time.Now()
	if !e.attachment.detaching {
		s.detaching++
	}
	e.attachment.detaching, e.attachment.gone = true, now.Add(after)
	s.settle(now)
	return s.changed()
}

// Detach takes an ENI off its instance, as an operator at the console may do,
// or a branch off its trunk.
func (s *Sim) Detach(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle(time.Now())
	e := s.enis[id]
	if e == nil {
		return noENI(id)
	}
	if e.association != nil {
		s.end(e.association)
		s.past.record(s, time.Now())
		return s.changed()
	}
	if err := e.detachable(); err != nil {
		return err
	}
	err := s.detach(e, 0)
	s.past.record(s, time.Now())
	return err
}

// Delete makes an ENI disappear, attached or not.
func (s *Sim) Delete(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle(time.Now())
	e := s.enis[id]
	if e == nil {
		return noENI(id)
	}
	if e.attachment != nil {
		if err := e.detachable(); err != nil {
			return err
		}
	}
	s.drop(e)
	s.past.record(s, time.Now())
	return s.changed()
}

func (e *eni) detachable() error {
	switch {
	case e.host != "":
		return &apiError{"OperationNotPermitted", "You do not have permission to detach the network interface '" + e.id + "': another service manages it.", 400}
	case e.attachment == nil:
		return &apiError{"IncorrectState", "The network interface '" + e.id + "' is not attached.", 400}
	case e.attachment.device == 0 && e.attachment.card == 0:
		return &apiError{"OperationNotPermitted", "The network interface at device index 0 cannot be detached.", 400}
	}
	return nil
}
