package picture

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vpcchain/vpcchain/daemon/internal/engine"
	"github.com/vpcchain/vpcchain/daemon/internal/eni"
	"github.com/vpcchain/vpcchain/daemon/internal/pool"
)

// outline is a row in a line: its groups, what is in them, and what is said.
func outline(r Row) string {
	var out []string
	for _, g := range r.Groups {
		out = append(out, strings.TrimSpace(g.Prefix+" "+tally(count(g.Slots))))
	}
	text := strings.Join(out, " | ")
	if r.Room > 0 {
		text += " | room"
	}
	if r.Note != "" {
		text += " | " + r.Note
	}
	if r.Bad {
		text += " | bad"
	}
	return text
}

func TestRows(t *testing.T) {
	for _, c := range []struct {
		name   string
		prefix bool
		limit  int // addresses of an ENI, its own included
		make   func(v *engine.View)
		want   string
	}{
		{"single addresses and the room that is left", false, 10, func(v *engine.View) {
			add(v, 1, true, "", false, pool.Used, pool.Free, pool.Cooling)
		}, "1 used, 1 free, 1 cooling, 6 unassigned"},
		{"tens", false, 16, func(v *engine.View) {
			add(v, 1, true, "", false, some(pool.Used, 12)...)
		}, "10 used | 2 used, 3 unassigned"},
		{"more than there may be", false, 3, func(v *engine.View) {
			add(v, 1, true, "", false, some(pool.Free, 4)...)
		}, "4 free"},
		{"a prefix in place of an address", false, 3, func(v *engine.View) {
			add(v, 1, true, "", true, some(pool.Free, 16)...)
		}, "10.20.2.16/28 16 free | 1 unassigned"},
		{"prefixes", true, 4, func(v *engine.View) {
			add(v, 1, true, "", true, append(some(pool.Used, 16), some(pool.Free, 16)...)...)
		}, "10.20.2.16/28 16 used | 10.20.2.32/28 16 free | room"},
		{"all prefixes", true, 2, func(v *engine.View) { add(v, 1, true, "", true, some(pool.Used, 16)...) }, "10.20.2.16/28 16 used"},
		{"not ready", false, 3, func(v *engine.View) {
			add(v, 1, false, "no link", false, pool.Used, pool.Free)
		}, "1 used, 1 not ready | no link | bad"},
		{"not ready, and no pod goes there anyway", false, 3, func(v *engine.View) {
			add(v, 1, false, "left alone: it has the tag", false, pool.Reserved)
		}, "1 reserved | left alone: it has the tag"},
		{"draining", false, 5, func(v *engine.View) {
			add(v, 1, true, "", false, pool.Used, pool.Reserved).Draining = true
			v.Pool.ENIs[0].Reserved = false
		}, "1 used, 1 reserved | draining: no new pod goes here, and it goes with its last one"},
		{"an instance of unknown limits", false, 0, func(v *engine.View) { add(v, 1, true, "", false) }, ""},
	} {
		v, b := node("m5.large", eni.Limits{ENIs: 3, IPv4PerENI: c.limit})
		b.Prefixes = c.prefix
		c.make(v)
		rows := Of(*v, b, nil, now()).Rows
		if len(rows) != 1 || outline(rows[0]) != c.want {
			t.Errorf("%s: %d rows, the first is %q, want %q", c.name, len(rows), outline(rows[0]), c.want)
		}
	}
}

func TestTitles(t *testing.T) {
	v, b := branches().view, branches().node
	v.Pool.ENIs[1].Slots[4].Freed = now().Add(-12 * time.Second)
	page := Of(v, b, nil, now())
	var got []string
	for _, r := range page.Rows {
		for _, g := range r.Groups {
			for _, s := range g.Slots {
				got = append(got, s.Title)
			}
		}
	}
	for _, b := range page.Trunk.Branches {
		got = append(got, b.Title)
	}
	want := []string{
		"10.20.1.16 reserved", "10.20.1.17 reserved",
		"10.20.2.16 used: shop/web-1-0, for 7 min; EC2 does not list it; it is asked again",
		"10.20.2.17 withheld; the kernel uses it, and nobody holds it",
		"10.20.2.18 free", "10.20.2.19 free", "10.20.2.20 cooling: released 12 s ago",
		"unassigned: room for an address", "unassigned: room for an address", "unassigned: room for an address", "unassigned: room for an address",
		"VLAN 1 in use eni-b0 10.20.19.136: shop/db-0, for 1 min; groups sg-db",
		"VLAN 2 warm eni-b1 10.20.19.137; groups sg-db",
		"VLAN 3 cooling eni-b2 10.20.19.138; groups sg-db",
		"VLAN 4 creating eni-b3 10.20.19.139; groups sg-db",
		"VLAN 5 deleting eni-b4 10.20.19.140; groups sg-db",
		"VLAN 6 in doubt eni-b5 10.20.19.141; groups sg-db; a link of the kernel has it",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// What waits is said in words, and nothing of it is left out.
func TestWaits(t *testing.T) {
	v, b := growing().view, growing().node
	if got := strings.Join(Of(v, b, nil, now()).Waits, "; "); got != "3 ADDs wait for an address; 1 pod more was sent here and has not asked yet" {
		t.Errorf("waits are %q", got)
	}
	v, b = branches().view, branches().node
	v.Waiters, v.Branches.Waiters = 1, 2
	if got := strings.Join(Of(v, b, nil, now()).Waits, "; "); got != "1 ADD waits for an address; 2 ADDs wait for a branch ENI" {
		t.Errorf("waits are %q", got)
	}
}

// Pods are those of the pool, of branches, and those whose address is lost; the
// table is bounded, and so is what is said of doubts.
func TestPods(t *testing.T) {
	var names []string
	for _, p := range branches().page().Pods {
		names = append(names, p.Name+" "+p.Addr+" "+p.Note)
	}
	want := []string{"shop/db-0 10.20.19.136 ", "shop/orphan 10.20.39.15 its address is on no ENI any more", "shop/web-1-0 10.20.2.16 EC2 does not list it; it is asked again"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Error(diff)
	}
	v, b := node("m5.24xlarge", eni.Limits{ENIs: 15, IPv4PerENI: 50})
	add(v, 0, true, "", false, append(some(pool.Used, maxPods+5), some(pool.Withheld, maxDoubts+3)...)...)
	page := Of(*v, b, nil, now())
	if len(page.Pods) != maxPods || page.MorePods != 5 || len(page.Rows[0].Doubts) != maxDoubts || page.Rows[0].More != 3 {
		t.Errorf("%d pods and %d more, %d doubts and %d more", len(page.Pods), page.MorePods, len(page.Rows[0].Doubts), page.Rows[0].More)
	}
}

func TestAge(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Hour: "0 s", 0: "0 s", 59 * time.Second: "59 s", time.Minute: "1 min", 59 * time.Minute: "59 min", time.Hour: "1 h", 47 * time.Hour: "47 h", 48 * time.Hour: "2 d",
	} {
		if got := age(now(), now().Add(-d)); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
	if got := age(now(), time.Time{}); got != "an unknown time" {
		t.Errorf("no time is %q", got)
	}
}
