package hostnet

import (
	"net/netip"
	"slices"
	"sync"
	"testing"

	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/vishvananda/netlink"

	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

func hasRule(tb testing.TB, want rule) bool {
	tb.Helper()
	rules, err := netlinksafe.RuleList(netlink.FAMILY_V4)
	must(tb, err)
	for _, r := range rules {
		if fromKernelRule(r) == want {
			return true
		}
	}
	return false
}

func TestEnsureFrom(t *testing.T) {
	h, d := nodeWith3(t)
	syncOK(t, h, d)
	a := addrOf("10.20.11.50")
	want := fromRule(vpcnet.RuleFrom, vpcnet.Host(a), 2)
	events := newMonitor(t)
	for range 2 { // EEXIST is success
		must(t, h.EnsureFrom(vpcnet.Host(a), 2))
	}
	if n := events.count(t); n != 1 {
		t.Errorf("two EnsureFrom caused %d kernel messages, want 1", n)
	}
	must(t, h.EnsureFrom(prefixOf("10.20.11.51/32"), vpcnet.TableMain))
	if n := events.count(t); n != 0 {
		t.Errorf("EnsureFrom to main caused %d kernel messages", n)
	}
	if err := h.EnsureFrom(netip.Prefix{}, 2); err == nil {
		t.Error("EnsureFrom of no address succeeded")
	}
	// A Sync whose Desired was computed before knows nothing of it and leaves it.
	syncOK(t, h, d)
	if !hasRule(t, want) {
		t.Error("the next Sync removed a rule that was just asked for")
	}
	// One computed later decides.
	syncOK(t, h, d)
	if hasRule(t, want) {
		t.Error("a rule that nobody wants is still there")
	}
}

// TestEnsureFromAgainstSync: addresses are given out while Syncs with an older
// Desired run; at every answer the rule is there, and it stays.
func TestEnsureFromAgainstSync(t *testing.T) {
	h, d := nodeWith3(t)
	syncOK(t, h, d)
	a := addrOf("10.20.11.50")
	want := fromRule(vpcnet.RuleFrom, vpcnet.Host(a), 2)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var mu sync.Mutex // guards d, the pool's wish
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			mu.Lock()
			desired := d
			desired.From = slices.Clone(d.From)
			mu.Unlock()
			if _, err := h.Sync(t.Context(), desired); err != nil {
				t.Errorf("Sync: %v", err)
				return
			}
		}
	})
	for range 200 {
		mu.Lock()
		d.From = append(d.From, From{vpcnet.Host(a), 2})
		mu.Unlock()
		must(t, h.EnsureFrom(vpcnet.Host(a), 2))
		for range 3 {
			if !hasRule(t, want) {
				t.Error("a rule that was asked for is missing")
			}
		}
		mu.Lock() // released and cooled down
		d.From = d.From[:len(d.From)-1]
		mu.Unlock()
	}
	close(stop)
	wg.Wait()
}

// BenchmarkEnsureFrom and BenchmarkSyncNoop: 3 ENIs, 50 rules.
func BenchmarkEnsureFrom(b *testing.B) {
	h, d := benchNode(b)
	if _, err := h.Sync(b.Context(), d); err != nil {
		b.Fatal(err)
	}
	a := addrOf("10.20.12.1")
	for b.Loop() {
		if err := h.EnsureFrom(vpcnet.Host(a), 2); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := netlink.RuleDel(fromRule(vpcnet.RuleFrom, vpcnet.Host(a), 2).toKernel()); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

func BenchmarkSyncNoop(b *testing.B) {
	h, d := benchNode(b)
	for range 2 {
		if _, err := h.Sync(b.Context(), d); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if obs, err := h.Sync(b.Context(), d); err != nil || len(obs.Repaired) > 0 {
			b.Fatal(obs, err)
		}
	}
}

func benchNode(b *testing.B) (*Host, Desired) {
	b.Helper()
	h, d := nodeWith3(b)
	d.From = nil
	for i := range 44 { // unaligned, so that none merge; with 512, 1535, 32765 and the kernel's about 50
		d.From = append(d.From, From{vpcnet.Host(netip.AddrFrom4([4]byte{10, 20, 13, byte(2 * i)})), 2 + i%2*10099})
	}
	return h, d
}
