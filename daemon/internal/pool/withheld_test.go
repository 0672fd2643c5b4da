package pool

import (
	"net/netip"
	"testing"
	"time"
)

// A withheld address goes to nobody, is not counted as spare, and its holder keeps it.
func TestWithhold(t *testing.T) {
	p, now := twoENIs(), epoch()
	if got := assign(t, p, "a", now); got != "10.0.0.10" {
		t.Fatalf("a has %s", got)
	}
	p.Withhold(map[netip.Addr]string{addr("10.0.0.10"): "why", addr("10.0.0.11"): "why", addr("10.0.0.20"): "why"})
	s := p.Snapshot(now)
	if s.Count(Withheld) != 2 || s.Count(Used) != 1 || s.Count(Free) != 1 || s.ENIs[0].Slots[0].Note != "why" {
		t.Errorf("snapshot %+v", s)
	}
	if got := assign(t, p, "b", now); got != "10.0.0.21" {
		t.Errorf("b has %s, want the only address that is not withheld", got)
	}
	if got := assign(t, p, "c", now); got != "none" {
		t.Errorf("c has %s, which is withheld", got)
	}
	if next := p.NextAvailable(now); !next.IsZero() {
		t.Errorf("a withheld address is announced for %s", next)
	}
	p.Release(att("a"), now)
	later := now.Add(time.Hour)
	if got := assign(t, p, "c", later); got != "none" {
		t.Errorf("c has %s, which is withheld", got)
	}
	p.Release(att("b"), now)
	if _, ok := p.TakeENI("eni-b"); ok {
		t.Error("an ENI with a withheld address is removed")
	}
	p.Withhold(nil)
	p.Rest(addr("10.0.0.10"), later)
	p.Rest(addr("10.0.0.11"), later)
	if got := assign(t, p, "d", later); got == "10.0.0.10" || got == "10.0.0.11" {
		t.Errorf("d has %s, which rests", got)
	}
}
