package pool

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vpcchain/vpcchain/daemon/internal/eni"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

func block(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// packed is a pool in prefix mode: a prefix and a single address on the primary
// ENI, two prefixes on the next.
func packed() *Pool {
	p := New(cooldown)
	p.PreferPrefixes()
	p.SetENIs([]eni.ENI{
		{ID: "eni-a", Addresses: addrs("10.0.0.5"), Prefixes: []netip.Prefix{block("10.0.1.0/28")}},
		{ID: "eni-b", Device: 1, Prefixes: []netip.Prefix{block("10.0.2.0/28"), block("10.0.3.0/28")}},
	}, epoch())
	p.SetReady("eni-a", true, "")
	p.SetReady("eni-b", true, "")
	return p
}

// where lists how many addresses of each prefix are held, in order.
func where(p *Pool, now time.Time) string {
	var out []string
	for _, e := range p.Snapshot(now).ENIs {
		for _, b := range e.Blocks() {
			out = append(out, fmt.Sprint(b.Used))
		}
	}
	return strings.Join(out, "/")
}

func TestPrefixesAreFilledFullestFirst(t *testing.T) {
	p, now := packed(), epoch()
	for i := range 40 {
		if got := assign(t, p, fmt.Sprint(i), now); got == "none" || got == "10.0.0.5" {
			t.Fatalf("pod %d got %s", i, got)
		}
	}
	if got := where(p, now); got != "16/16/8" {
		t.Errorf("used per prefix: %s", got)
	}
	for i := range 6 {
		p.Release(att(fmt.Sprint(i)), now) // of the first prefix
	}
	now = now.Add(cooldown)
	for i := 40; i < 44; i++ {
		assign(t, p, fmt.Sprint(i), now)
	}
	if got := where(p, now); got != "14/16/8" {
		t.Errorf("used per prefix: %s, want the gaps of the fullest filled first", got)
	}
	for i := 44; i < 53; i++ {
		assign(t, p, fmt.Sprint(i), now)
	}
	if got := assign(t, p, "last", now); got != "10.0.3.15" {
		t.Errorf("the last of the prefixes is %s", got)
	}
	if got := assign(t, p, "single", now); got != "10.0.0.5" {
		t.Errorf("then came %s; a single address is better than none", got)
	}
}

func TestSingleAddressesFirstInTheOtherMode(t *testing.T) {
	p := packed()
	p.prefixes = false
	var got []string
	for i := range 3 {
		got = append(got, assign(t, p, fmt.Sprint(i), epoch()))
	}
	if d := cmp.Diff([]string{"10.0.0.5", "10.0.1.0", "10.0.1.1"}, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestTakePrefixes(t *testing.T) {
	p, now := packed(), epoch()
	assign(t, p, "a", now)
	all := []netip.Prefix{block("10.0.1.0/28"), block("10.0.2.0/28"), block("10.0.9.0/28")}
	if got := p.TakePrefixes("eni-a", all, now); got != nil {
		t.Errorf("took %v, of which one is in use and the others are not the ENI's", got)
	}
	p.Release(att("a"), now)
	if got := p.TakePrefixes("eni-a", all, now.Add(cooldown-1)); got != nil {
		t.Errorf("took %v while an address of it rests", got)
	}
	if got := p.TakePrefixes("eni-a", all, now.Add(cooldown)); !slices.Equal(got, all[:1]) {
		t.Errorf("took %v", got)
	}
	if got := p.TakePrefixes("eni-gone", all, now); got != nil {
		t.Errorf("took %v of an ENI that is not there", got)
	}
	p.AddPrefixes("eni-a", all[:1])
	p.AddPrefixes("eni-a", all[:1])
	p.AddPrefixes("eni-gone", all[:1])
	if e, _ := p.ENI("eni-a"); !slices.Equal(e.Prefixes, all[:1]) {
		t.Errorf("put back: %v", e.Prefixes)
	}
}

func TestENIWithAPodOfAPrefixStays(t *testing.T) {
	p, now := packed(), epoch()
	for i := range 17 {
		assign(t, p, fmt.Sprint(i), now)
	}
	if _, ok := p.TakeENI("eni-b"); ok {
		t.Error("took an ENI that a pod uses")
	}
}

func TestRestoreFindsTheAddressInItsPrefix(t *testing.T) {
	now := epoch()
	old := packed()
	assign(t, old, "a", now)
	assign(t, old, "b", now)
	freed, _ := old.Release(att("a"), now)
	p := packed()
	if err := p.Restore(old.Allocations(), map[netip.Addr]time.Time{freed.Addr: now}); err != nil {
		t.Fatal(err)
	}
	s := p.Snapshot(now)
	if s.Count(Used) != 1 || s.Count(Cooling) != 1 || len(s.Lost) != 0 || s.Total() != 49 {
		t.Errorf("after a restart: %d used, %d cooling, %d lost of %d", s.Count(Used), s.Count(Cooling), len(s.Lost), s.Total())
	}
	if next := p.NextAvailable(now); !next.Equal(now.Add(cooldown)) {
		t.Errorf("next is %s", next)
	}
	want := Block{Prefix: block("10.0.1.0/28"), Used: 1, Cooling: 1, Free: 14}
	if got := s.ENIs[0].Blocks(); len(got) != 1 || got[0] != want || got[0].Whole() {
		t.Errorf("blocks %+v, want %+v", got, want)
	}
}

// Pods come and go at random: no address has two, each goes into the fullest
// prefix that has one, and only prefixes that are wholly free and rested go back.
func TestPackingAtRandom(t *testing.T) {
	for seed := range 50 {
		r := rand.New(rand.NewPCG(uint64(seed), 1)) //nolint:gosec // repeatable
		p, now := packed(), epoch()
		for i := range 300 {
			switch r.IntN(4) {
			case 0, 1:
				packOne(t, p, att(fmt.Sprint(i)), now)
			case 2:
				p.Release(att(fmt.Sprint(r.IntN(i+1))), now)
			case 3:
				now = now.Add(time.Duration(r.IntN(20)) * time.Second)
				takeAndPutBack(t, p, now)
			}
		}
	}
}

func packOne(t *testing.T, p *Pool, a vpcnet.Attachment, now time.Time) {
	t.Helper()
	most, before := -1, map[netip.Prefix]Block{}
	for _, e := range p.Snapshot(now).ENIs {
		for _, b := range e.Blocks() {
			if before[b.Prefix] = b; b.Free > 0 {
				most = max(most, b.Used)
			}
		}
	}
	h, ok := p.Assign(a, Pod{}, now)
	if !ok {
		return
	}
	for b, was := range before {
		if b.Contains(h.Addr) && (was.Used != most || was.Free == 0) {
			t.Fatalf("%s is of %+v; the fullest with a free one has %d used", h.Addr, was, most)
		}
	}
	if n := len(p.Allocations()); len(p.byAddr) != n {
		t.Fatalf("%d pods with %d addresses", n, len(p.byAddr))
	}
}

func takeAndPutBack(t *testing.T, p *Pool, now time.Time) {
	t.Helper()
	for _, e := range p.Snapshot(now).ENIs {
		for _, b := range e.Blocks() {
			took := p.TakePrefixes(e.ID, []netip.Prefix{b.Prefix}, now)
			if (len(took) == 1) != (b.Used == 0 && b.Cooling == 0) {
				t.Fatalf("took %v: %+v", took, b)
			}
			p.AddPrefixes(e.ID, took)
		}
	}
}
