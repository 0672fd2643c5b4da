package branch

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/eni"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

func epoch() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }

func holder(id string, at time.Time) Holder {
	return Holder{Attachment: vpcnet.Attachment{Network: "vpc", ContainerID: id, IfName: "eth0"}, Since: at}
}

var kindA = KindOf("subnet-1", []string{"sg-b", "sg-a", "sg-b"})

func book(warm int) *Book {
	b := NewBook(Settings{Cooldown: time.Minute, Warm: warm})
	b.SetLimit(120)
	return b
}

// made puts a branch of the kind into the books that is ready to be given.
func made(t *testing.T, b *Book, k Kind, now time.Time) Branch {
	t.Helper()
	r, err := b.Begin(fmt.Sprintf("key-%d-%s", len(b.all), now.Format("150405")), k, "eni-trunk", eni.CreateSpec{}, now)
	if err != nil {
		t.Fatal(err)
	}
	r.Step, r.ENI, r.Association, r.Freed = Ready, "eni-"+r.Key, "assoc-"+r.Key, now
	r.Addr = netip.AddrFrom4([4]byte{10, 0, 0, byte(r.VLAN)})
	b.Put(r)
	return r
}

func TestKindIsASet(t *testing.T) {
	if kindA != KindOf("subnet-1", []string{"sg-a", "sg-b"}) || kindA == KindOf("subnet-2", []string{"sg-a", "sg-b"}) || kindA == KindOf("subnet-1", []string{"sg-a"}) {
		t.Error("kinds do not compare as sets in a subnet")
	}
}

// VLAN ids go round: one that was given up is the last to be given again.
func TestVLANsLeastRecentlyUsedFirst(t *testing.T) {
	b, now := book(0), epoch()
	for id := 1; id <= lastVLAN; id++ {
		if r := made(t, b, kindA, now); r.VLAN != id {
			t.Fatalf("got VLAN %d, want %d", r.VLAN, id)
		}
	}
	if _, err := b.Begin("full", kindA, "eni-trunk", eni.CreateSpec{}, now); !errors.Is(err, ErrFull) {
		t.Errorf("the branch after the last: %v", err)
	}
	b.SetLimit(500)
	if _, err := b.Begin("none", kindA, "eni-trunk", eni.CreateSpec{}, now); !errors.Is(err, ErrNoVLAN) {
		t.Errorf("the id after the last: %v", err)
	}
	for i, id := range []int{70, 3, 120, 1} {
		for _, r := range b.All() {
			if r.VLAN == id {
				b.Drop(r.Key, now.Add(time.Duration(i)*time.Second))
			}
		}
	}
	for _, want := range []int{70, 3, 120, 1} {
		if r := made(t, b, kindA, now.Add(time.Minute)); r.VLAN != want || r.Spec.Tags[TagVLAN] != fmt.Sprint(want) {
			t.Errorf("got VLAN %d, want %d", r.VLAN, want)
		}
	}
}

// An id that somebody else has on the trunk is left out as long as EC2 shows it.
func TestVLANOfSomebodyElse(t *testing.T) {
	b, now := book(0), epoch()
	b.Hear(Seen{Associations: []eni.Association{
		{ID: "x", Trunk: "eni-trunk", Branch: "eni-x", VLAN: 1}, {ID: "y", Trunk: "eni-of-another-node", Branch: "eni-y", VLAN: 2},
	}}, nil, "eni-trunk", now)
	if r := made(t, b, kindA, now); r.VLAN != 2 {
		t.Errorf("got VLAN %d", r.VLAN)
	}
	b.Hear(Seen{}, nil, "eni-trunk", now)
	if r := made(t, b, kindA, now); r.VLAN != 1 {
		t.Errorf("got VLAN %d when nobody has 1", r.VLAN)
	}
}

// A branch rests after use and then goes to the next pod, the one that was free for longest first.
func TestTakeAndRest(t *testing.T) {
	b, now := book(0), epoch()
	first := made(t, b, kindA, now)
	second := made(t, b, kindA, now.Add(time.Second))
	got, ok := b.Take(holder("a", now.Add(time.Minute)), kindA)
	if !ok || got.Key != first.Key {
		t.Fatalf("got %v", got)
	}
	if _, ok := b.Take(holder("b", now), KindOf("subnet-1", []string{"sg-a"})); ok {
		t.Error("a pod got other groups")
	}
	b.Release(holder("a", now).Attachment, now.Add(2*time.Minute))
	if got, _ := b.Take(holder("b", now.Add(2*time.Minute)), kindA); got.Key != second.Key {
		t.Errorf("b got %v", got)
	}
	if got, ok := b.Take(holder("c", now.Add(3*time.Minute-1)), kindA); ok {
		t.Errorf("c got %v, which rests", got)
	}
	if got, ok := b.Take(holder("c", now.Add(3*time.Minute)), kindA); !ok || got.Key != first.Key {
		t.Errorf("c got %v, %v", got, ok)
	}
	if _, ok := b.Release(holder("nobody", now).Attachment, now); ok {
		t.Error("nobody's branch was released")
	}
}

// The newest pod of an announced branch, or of its VLAN id, has it; a late DEL of
// the older one takes nothing away.
func TestAnnouncedBranchMovesOn(t *testing.T) {
	b, now := book(0), epoch()
	a := Announcement{ENI: "eni-1", VLAN: 7, Addr: netip.MustParseAddr("10.0.0.9")}
	old, over, err := b.Announce(holder("old", now), a, "eni-trunk")
	if err != nil || len(over) != 0 {
		t.Fatal(over, err)
	}
	next, over, err := b.Announce(holder("next", now), a, "eni-trunk")
	if err != nil || len(over) != 1 || over[0].Key != old.Key {
		t.Fatal(over, err)
	}
	a.ENI = "eni-2"
	last, over, err := b.Announce(holder("last", now), a, "eni-trunk")
	if err != nil || len(over) != 1 || over[0].Key != next.Key {
		t.Fatal(over, err)
	}
	for _, id := range []string{"old", "next"} {
		if r, ok := b.Release(holder(id, now).Attachment, now); ok {
			t.Errorf("the DEL of %s released %v", id, r)
		}
	}
	if r, ok := b.Held(holder("last", now).Attachment); !ok || r.Key != last.Key || r.VLAN != 7 {
		t.Errorf("last has %v", r)
	}
	b.Release(holder("last", now).Attachment, now)
	if len(b.All()) != 0 {
		t.Errorf("left: %v", b.All())
	}
	made(t, b, kindA, now)
	a.VLAN = 1
	if _, _, err = b.Announce(holder("x", now), a, "eni-trunk"); err == nil || !strings.Contains(err.Error(), "VLAN id 1") {
		t.Errorf("a VLAN id of our own was announced: %v", err)
	}
}

// words are the actions in short.
func words(b *Book, list []Action) []string {
	var out []string
	for _, a := range list {
		r := b.all[a.Key]
		switch a.Verb {
		case Make:
			out = append(out, "make "+a.Kind.Groups)
		case Retire:
			out = append(out, fmt.Sprint("retire ", r.VLAN))
		case Go:
			out = append(out, fmt.Sprintf("%s %d", r.Step, r.VLAN))
		}
	}
	slices.Sort(out)
	return out
}

func TestDecide(t *testing.T) {
	kindC, now := KindOf("subnet-1", []string{"sg-c"}), epoch()
	later := func(d time.Duration) time.Time { return now.Add(d) }
	for _, tc := range []struct {
		name    string
		set     func(b *Book)
		waiting []Kind
		at      time.Duration
		want    []string
	}{
		{"nothing", func(*Book) {}, nil, 0, nil},
		{"pods wait", func(*Book) {}, []Kind{kindA, kindC, kindA}, 0, []string{"make sg-a,sg-b", "make sg-a,sg-b", "make sg-c"}},
		{"what is coming counts", func(b *Book) { _, _ = b.Begin("k", kindA, "t", eni.CreateSpec{}, now) }, []Kind{kindA}, 0, []string{"create 1"}},
		{"stock of a kind in use", func(b *Book) { made(t, b, kindA, now); b.Take(holder("a", now), kindA) }, nil, time.Hour, []string{"make sg-a,sg-b"}},
		{"one that rests will do", func(b *Book) {
			made(t, b, kindA, now)
			b.Take(holder("a", now), kindA)
			b.Release(holder("a", now).Attachment, now)
		}, nil, time.Second, nil},
		{"the stock outlasts its last pod for a while", func(b *Book) { made(t, b, kindA, now); b.Want(kindA, now) }, nil, idle - 1, nil},
		{"and then goes", func(b *Book) { made(t, b, kindA, now); b.Want(kindA, now) }, nil, idle, []string{"retire 1"}},
		{"a surplus goes when it has lasted", func(b *Book) {
			made(t, b, kindA, now)
			made(t, b, kindA, later(time.Second))
			b.Want(kindA, later(idle))
		}, nil, idle + time.Second, []string{"retire 1"}},
		{"no room: another kind's stock makes it", func(b *Book) { made(t, b, kindA, now); b.SetLimit(1) }, []Kind{kindC}, time.Second, []string{"retire 1"}},
		{"no room: one that rests stays", func(b *Book) {
			made(t, b, kindA, now)
			b.Take(holder("a", now), kindA)
			b.Release(holder("a", now).Attachment, now)
			b.SetLimit(1)
		}, []Kind{kindC}, time.Second, nil},
		{"no room: one that goes is enough", func(b *Book) {
			r := made(t, b, kindA, later(-time.Hour))
			r.Step = Leaving
			b.Put(r)
			made(t, b, kindA, now)
			b.SetLimit(2)
		}, []Kind{kindC}, time.Second, []string{"disassociate 1"}},
		{"EC2 may not know what is new", func(b *Book) {
			r := made(t, b, kindA, now)
			r.Step = Deleting
			b.Put(r)
		}, nil, unseen - 1, nil},
		{"what is in doubt is given to nobody and kept", func(b *Book) {
			r := made(t, b, kindA, now)
			r.Doubt, r.missing = "asking again", now
			b.Put(r)
			b.Want(kindA, now)
		}, nil, time.Hour, nil},
	} {
		b := book(1)
		tc.set(b)
		if got := words(b, b.Decide(tc.waiting, later(tc.at))); !slices.Equal(got, tc.want) {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
}
