package pool

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vpcchain/vpcchain/daemon/internal/eni"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

const cooldown = 30 * time.Second

func epoch() time.Time { return time.Unix(1e9, 0) }

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func addrs(texts ...string) []netip.Addr {
	var out []netip.Addr
	for _, s := range texts {
		out = append(out, addr(s))
	}
	return out
}

func att(id string) vpcnet.Attachment {
	return vpcnet.Attachment{Network: "vpc", ContainerID: id, IfName: "eth0"}
}

// twoENIs is a pool with addresses .10 and .11 on the primary ENI and .20 and
// .21 on the next; the list of ENIs is deliberately in the wrong order.
func twoENIs() *Pool {
	p := New(cooldown)
	p.SetENIs([]eni.ENI{
		{ID: "eni-b", Device: 1, Addresses: addrs("10.0.0.20", "10.0.0.21")},
		{ID: "eni-a", Device: 0, Addresses: addrs("10.0.0.10", "10.0.0.11")},
	}, epoch())
	p.SetReady("eni-a", true, "")
	p.SetReady("eni-b", true, "")
	return p
}

func assign(t *testing.T, p *Pool, id string, now time.Time) string {
	t.Helper()
	h, ok := p.Assign(att(id), Pod{Name: id}, now)
	if !ok {
		return "none"
	}
	return h.Addr.String()
}

// steps: "+x" assigns to x, "-x" releases, a duration passes time.
func TestAssign(t *testing.T) {
	for _, tc := range []struct{ name, steps, want string }{
		{"primary ENI first", "+a +b +c +d +e", "10 11 20 21 none"},
		{"idempotent", "+a +b +a", "10 11 10"},
		{"a freed one rests", "+a +b -a +c", "10 11 20"},
		{"a rested one is used before the next ENI", "+a +b -a 30s +c", "10 11 10"},
		{"never used before used", "+a -a 30s +b", "10 11"},
		{"least recently used", "+a +b -b 1s -a 30s +c +d", "10 11 11 10"},
		{"not a moment too soon", "+a +b +c +d -a 29.999s +e 1ms +e", "10 11 20 21 none 10"},
		{"clock jumps back", "+a +b +c +d -a -10m +e", "10 11 20 21 10"},
		{"release twice", "+a -a -a +a", "10 11"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p, now := twoENIs(), epoch()
			var got []string
			for step := range strings.FieldsSeq(tc.steps) {
				if d, err := time.ParseDuration(step); err == nil {
					now = now.Add(d)
					continue
				}
				if step[0] == '-' {
					p.Release(att(step[1:]), now)
					continue
				}
				got = append(got, strings.TrimPrefix(assign(t, p, step[1:], now), "10.0.0."))
			}
			if d := cmp.Diff(tc.want, strings.Join(got, " ")); d != "" {
				t.Errorf("addresses (-want +got):\n%s", d)
			}
		})
	}
}

func TestReleaseReturnsWhatWasHeld(t *testing.T) {
	p, now := twoENIs(), epoch()
	want, _ := p.Assign(att("a"), Pod{Namespace: "ns", Name: "web", UID: "u"}, now)
	if want.ENI != "eni-a" || !want.Since.Equal(now) || want.Pod.Name != "web" || want.Attachment != att("a") {
		t.Errorf("assigned %+v", want)
	}
	if got, ok := p.Held(att("a")); !ok || got != want {
		t.Errorf("Held = %+v, %t", got, ok)
	}
	if got, ok := p.HeldBy("a", "eth0"); !ok || got != want {
		t.Errorf("HeldBy = %+v, %t", got, ok)
	}
	if _, ok := p.HeldBy("a", "eth1"); ok {
		t.Error("HeldBy found another interface's")
	}
	if got, ok := p.Release(att("a"), now); !ok || got != want {
		t.Errorf("Release = %+v, %t", got, ok)
	}
	if _, ok := p.Release(att("a"), now); ok {
		t.Error("a second Release found something")
	}
	if _, ok := p.Held(att("a")); ok {
		t.Error("held after Release")
	}
}

func TestUndoLeavesNoTrace(t *testing.T) {
	p, now := twoENIs(), epoch()
	h, _ := p.Assign(att("a"), Pod{}, now)
	p.Undo(h)
	if got := assign(t, p, "b", now); got != h.Addr.String() {
		t.Errorf("after Undo the next got %s, want %s at once: it was never used", got, h.Addr)
	}
}

func TestOnlyReadyENIsServe(t *testing.T) {
	p, now := twoENIs(), epoch()
	p.SetReady("eni-a", false, "its link is down")
	p.SetReady("eni-gone", true, "")
	if got := assign(t, p, "a", now); got != "10.0.0.20" {
		t.Errorf("got %s of an ENI that is not ready", got)
	}
	p.AddENI(eni.ENI{ID: "eni-c", Device: 2, Addresses: addrs("10.0.0.30")}, now)
	p.AddENI(eni.ENI{ID: "eni-b", Device: 1}, now) // known: keeps its addresses
	if got := []string{assign(t, p, "b", now), assign(t, p, "c", now)}; !slices.Equal(got, []string{"10.0.0.21", "none"}) {
		t.Errorf("got %v", got)
	}
	p.SetReady("eni-c", true, "")
	if got := assign(t, p, "c", now); got != "10.0.0.30" {
		t.Errorf("got %s of the new ENI", got)
	}
}

func TestTakeAddresses(t *testing.T) {
	p, now := twoENIs(), epoch()
	assign(t, p, "a", now)
	ask := addrs("10.0.0.10", "10.0.0.11", "10.0.0.20", "10.9.9.9") // used, free, another ENI's, nobody's
	if got := p.TakeAddresses("eni-a", ask); !slices.Equal(got, addrs("10.0.0.11")) {
		t.Errorf("took %v", got)
	}
	if got := p.TakeAddresses("eni-gone", ask); got != nil {
		t.Errorf("took %v of an ENI that is not there", got)
	}
	if e, _ := p.ENI("eni-a"); !slices.Equal(e.Addresses, addrs("10.0.0.10")) {
		t.Errorf("left %v", e.Addresses)
	}
	p.AddAddresses("eni-a", addrs("10.0.0.11", "10.0.0.10"))
	p.AddAddresses("eni-gone", addrs("10.0.0.99"))
	if e, _ := p.ENI("eni-a"); !slices.Equal(e.Addresses, addrs("10.0.0.10", "10.0.0.11")) {
		t.Errorf("put back: %v", e.Addresses)
	}
}

func TestTakeENI(t *testing.T) {
	p, now := twoENIs(), epoch()
	for _, id := range []string{"a", "b", "c"} {
		assign(t, p, id, now)
	}
	for _, id := range []string{"eni-a", "eni-b", "eni-gone"} {
		if _, ok := p.TakeENI(id); ok {
			t.Errorf("took %s: primary, in use or unknown", id)
		}
	}
	p.Release(att("c"), now)
	if e, ok := p.TakeENI("eni-b"); !ok || e.ID != "eni-b" {
		t.Errorf("TakeENI = %+v, %t", e, ok)
	}
	if _, ok := p.ENI("eni-b"); ok {
		t.Error("still there")
	}
}

func TestRestore(t *testing.T) {
	now := epoch()
	old := twoENIs()
	for _, id := range []string{"a", "b", "c"} {
		assign(t, old, id, now)
	}
	freed, _ := old.Release(att("a"), now)

	p := New(cooldown)
	if err := p.Restore(old.Allocations(), map[netip.Addr]time.Time{freed.Addr: now}); err != nil {
		t.Fatal(err)
	}
	// Before the ENIs are known nothing is lost, only not placed yet.
	if s := p.Snapshot(now); len(s.Lost) != 2 {
		t.Errorf("%d allocations kept, want 2", len(s.Lost))
	}
	p.SetENIs([]eni.ENI{{ID: "eni-a", Addresses: addrs("10.0.0.10", "10.0.0.11")}}, now)
	p.SetReady("eni-a", true, "")
	s := p.Snapshot(now)
	if s.Count(Used) != 1 || s.Count(Cooling) != 1 || s.Count(Free) != 0 || len(s.Lost) != 1 || s.Lost[0].Attachment != att("c") {
		t.Errorf("after a restart: %+v", s)
	}
	if got := assign(t, p, "b", now); got != "10.0.0.11" {
		t.Errorf("b holds 10.0.0.11 and got %s", got)
	}
	twice := []Allocation{{Attachment: att("x"), Addr: addr("10.0.0.1")}, {Attachment: att("y"), Addr: addr("10.0.0.1")}}
	if err := New(cooldown).Restore(twice, nil); err == nil || !strings.Contains(err.Error(), "vpc/x/eth0") {
		t.Errorf("an address held twice was restored: %v", err)
	}
}

func TestSetENIsKeepsReadinessAndAge(t *testing.T) {
	p := twoENIs()
	later := epoch().Add(time.Minute)
	p.SetENIs([]eni.ENI{{ID: "eni-a", Addresses: addrs("10.0.0.10")}, {ID: "eni-c", Device: 3}}, later)
	s := p.Snapshot(later)
	if len(s.ENIs) != 2 || !s.ENIs[0].Ready || s.ENIs[0].Age != time.Minute || s.ENIs[1].Ready || s.ENIs[1].Reason == "" || s.ENIs[1].Age != 0 {
		t.Errorf("snapshot %+v", s.ENIs)
	}
}

func TestNextAvailable(t *testing.T) {
	p, now := twoENIs(), epoch()
	if got := p.NextAvailable(now); !got.IsZero() {
		t.Errorf("nothing rests, and next is %s", got)
	}
	assign(t, p, "a", now)
	assign(t, p, "b", now)
	p.Release(att("a"), now)
	p.Release(att("b"), now.Add(time.Second))
	if got := p.NextAvailable(now.Add(2 * time.Second)); !got.Equal(now.Add(cooldown)) {
		t.Errorf("next is %s, want the first release's %s", got, now.Add(cooldown))
	}
	if got := p.NextAvailable(now.Add(cooldown)); !got.Equal(now.Add(cooldown + time.Second)) {
		t.Errorf("next is %s, want the second release's", got)
	}
}

// An ENI that somebody detached and that is attached again is another device: what
// was known of it is not true any more.
func TestAttachedAgain(t *testing.T) {
	p, now := New(0), time.Now()
	e := eni.ENI{ID: "eni-1", Device: 2, AttachmentID: "attach-1", Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.1")}}
	p.AddENI(e, now)
	p.SetReady(e.ID, true, "")
	p.AddENI(e, now)
	if s := p.Snapshot(now); !s.ENIs[0].Ready {
		t.Error("the same ENI is not ready any more")
	}
	e.Device, e.AttachmentID = 1, "attach-2"
	p.AddENI(e, now)
	if s := p.Snapshot(now); len(s.ENIs) != 1 || s.ENIs[0].Device != 1 || s.ENIs[0].Ready {
		t.Errorf("attached again it is %+v", s.ENIs)
	}
}
