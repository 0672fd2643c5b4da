package confirm

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/eni"
	"github.com/vpcchain/vpcchain/daemon/internal/pool"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

func addr(n int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 0, byte(n)}) }

func on(id string, addrs ...int) eni.ENI {
	e := eni.ENI{ID: id, MAC: "mac-" + id}
	for _, a := range addrs {
		e.Addresses = append(e.Addresses, addr(a))
	}
	return e
}

func held(id string, n int) pool.Allocation {
	return pool.Allocation{Attachment: vpcnet.Attachment{Network: "vpc", ContainerID: fmt.Sprint(n), IfName: "eth0"}, Addr: addr(n), ENI: id}
}

// text is ENIs as "a:1,2 b:3".
func text(enis []eni.ENI) string {
	var out []string
	for _, e := range enis {
		var addrs []string
		for _, a := range e.Addresses {
			addrs = append(addrs, fmt.Sprint(a.As4()[3]))
		}
		for _, p := range e.Prefixes {
			addrs = append(addrs, p.String())
		}
		mark := ""
		if e.Missing {
			mark = "?" // kept, though the answer does not list it
		}
		out = append(out, e.ID+mark+":"+strings.Join(addrs, ","))
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func TestHear(t *testing.T) {
	type answer struct {
		at      time.Duration
		enis    []eni.ENI
		held    []pool.Allocation
		want    string
		changes string
	}
	both := []eni.ENI{on("a", 1, 2), on("b", 3)}
	pods := []pool.Allocation{held("a", 1), held("b", 3)}
	for name, answers := range map[string][]answer{
		"nothing is missing; what nobody holds goes at once": {
			{0, both, pods, "a:1,2 b:3", ""},
			{1, []eni.ENI{on("a", 1), on("b", 3)}, pods, "a:1 b:3", ""},
		},
		"one stale answer": {
			{0, []eni.ENI{on("a", 2), on("b", 3)}, pods, "a:2,1 b:3", "10.0.0.1 doubted"},
			{After, both, pods, "a:1,2 b:3", "10.0.0.1 back"},
		},
		"two answers too close together": {
			{0, []eni.ENI{on("a", 2), on("b", 3)}, pods, "a:2,1 b:3", "10.0.0.1 doubted"},
			{After - 1, []eni.ENI{on("a", 2), on("b", 3)}, pods, "a:2,1 b:3", ""},
		},
		"two confirmations, and it comes back after all": {
			{0, []eni.ENI{on("a", 2), on("b", 3)}, pods, "a:2,1 b:3", "10.0.0.1 doubted"},
			{After, []eni.ENI{on("a", 2), on("b", 3)}, pods, "a:2 b:3", "10.0.0.1 lost"},
			{2 * After, []eni.ENI{on("a", 2), on("b", 3)}, pods, "a:2 b:3", ""},
			{3 * After, both, pods, "a:1,2 b:3", "10.0.0.1 back"},
			{4 * After, []eni.ENI{on("a", 2), on("b", 3)}, pods, "a:2,1 b:3", "10.0.0.1 doubted"},
		},
		"an ENI is not listed: it stays with what pods hold": {
			{0, []eni.ENI{on("b", 3)}, pods, "a?:1 b:3", "10.0.0.1 doubted"},
			{After, []eni.ENI{on("b", 3)}, pods, "b:3", "10.0.0.1 lost"},
		},
		"its pod ends meanwhile": {
			{0, []eni.ENI{on("a", 2), on("b", 3)}, pods, "a:2,1 b:3", "10.0.0.1 doubted"},
			{After, []eni.ENI{on("a", 2), on("b", 3)}, pods[1:], "a:2 b:3", ""},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var j Judge
			known, begin := both, time.Unix(1e9, 0)
			for i, a := range answers {
				before := text(a.enis)
				got, changes := j.Hear(a.enis, known, a.held, begin.Add(a.at))
				var words []string
				for _, c := range changes {
					words = append(words, c.Holder.Addr.String()+" "+map[Verdict]string{Doubted: "doubted", Lost: "lost", Back: "back"}[c.Verdict])
				}
				if text(got) != a.want || strings.Join(words, ", ") != a.changes {
					t.Errorf("answer %d: believe in %s (%q), want %s (%q)", i, text(got), words, a.want, a.changes)
				}
				if text(a.enis) != before {
					t.Errorf("answer %d was changed to %s", i, text(a.enis))
				}
				known = got
			}
		})
	}
}

func TestAskAgain(t *testing.T) {
	var j Judge
	now := time.Unix(1e9, 0)
	pods := []pool.Allocation{held("a", 1)}
	j.Hear([]eni.ENI{on("a", 1)}, nil, pods, now)
	if !j.Next().IsZero() || len(j.Doubts()) != 0 {
		t.Errorf("without doubt: ask again at %s, doubts %v", j.Next(), j.Doubts())
	}
	_, changes := j.Hear([]eni.ENI{on("a")}, nil, pods, now)
	if want := now.Add(After); !j.Next().Equal(want) || j.Doubts()[addr(1)] == "" {
		t.Errorf("ask again at %s, want %s; doubts %v", j.Next(), want, j.Doubts())
	}
	if s := changes[0].String(); !strings.Contains(s, "asked again in 30s") {
		t.Errorf("it says %q", s)
	}
	_, changes = j.Hear([]eni.ENI{on("a")}, nil, pods, now.Add(After))
	if !j.Next().IsZero() || j.Doubts()[addr(1)] == "" {
		t.Errorf("when it is lost: ask again at %s, doubts %v", j.Next(), j.Doubts())
	}
	if s := changes[0].String(); !strings.Contains(s, "delete the pod") {
		t.Errorf("it says %q", s)
	}
}

// Of a prefix that is not listed the addresses in use stay, the others go.
func TestPrefix(t *testing.T) {
	var j Judge
	e := on("a", 99)
	e.Prefixes = []netip.Prefix{netip.PrefixFrom(addr(16), 28)}
	got, _ := j.Hear([]eni.ENI{e}, nil, []pool.Allocation{held("a", 17)}, time.Unix(1e9, 0))
	if text(got) != "a:99,10.0.0.16/28" {
		t.Errorf("listed: %s", text(got))
	}
	got, _ = j.Hear([]eni.ENI{on("a", 99)}, []eni.ENI{e}, []pool.Allocation{held("a", 17)}, time.Unix(1e9, 0))
	if text(got) != "a:99,17" {
		t.Errorf("not listed: %s", text(got))
	}
}

func TestMissing(t *testing.T) {
	pods := []pool.Allocation{held("b", 3), held("a", 1), held("b", 4), held("", 5)}
	if got := Missing([]eni.ENI{on("a", 1)}, pods); !slices.Equal(got, []string{"b"}) {
		t.Errorf("missing: %v", got)
	}
}
