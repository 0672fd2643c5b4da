package leaks

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/eni"
)

func TestOncePerDay(t *testing.T) {
	now := time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)
	for i := range 200 {
		id := fmt.Sprintf("i-%d", i)
		at := now
		for n := range 5 {
			next := Next(id, at)
			if !next.After(at) || next.Sub(at) > 2*day {
				t.Fatalf("%s: %s after %s", id, next, at)
			}
			if n > 0 && next.Truncate(day).Sub(at.Truncate(day)) != day {
				t.Errorf("%s looks at %s and at %s: not once on each day", id, at, next)
			}
			if again := Next(id, next.Add(-time.Nanosecond)); again != next {
				t.Errorf("%s looks at %s, asked a moment earlier at %s", id, next, again)
			}
			at = next
		}
	}
}

// A small cluster's nodes have a slot each, a large one's are spread evenly.
func TestSlots(t *testing.T) {
	now := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC).Add(-1)
	shared := 0
	for c := range 100 {
		seen := map[time.Time]bool{}
		for i := range 20 {
			at := Next(fmt.Sprintf("i-%d-%d", c, i), now).Truncate(slot)
			if seen[at] {
				shared++
			}
			seen[at] = true
		}
	}
	if shared > 10 { // 100 × 190 pairs / 8640 slots are 2.2
		t.Errorf("in 100 clusters of 20 nodes %d slots were shared", shared)
	}
	hours := map[int]int{}
	for i := range 10_000 {
		hours[Next(fmt.Sprintf("i-%017x", i), now).Hour()]++
	}
	for h := range 24 {
		if hours[h] < 330 || hours[h] > 510 {
			t.Errorf("%d of 10,000 nodes look in hour %d, want about 417", hours[h], h)
		}
	}
}

func TestOf(t *testing.T) {
	now := time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)
	leaked := func(id string, change func(*eni.ENI)) eni.ENI {
		e := eni.ENI{ID: id, Description: "aws-K8S-i-9", Created: now.Add(-minAge), Tags: map[string]string{eni.TagCluster: "blue", eni.TagInstance: "i-9"}}
		change(&e)
		return e
	}
	all := []eni.ENI{
		leaked("leaked", func(*eni.ENI) {}),
		leaked("young", func(e *eni.ENI) { e.Created = now.Add(-minAge + time.Second) }),
		leaked("of the future", func(e *eni.ENI) { e.Created = now.Add(time.Hour) }),
		leaked("of no age", func(e *eni.ENI) { e.Created = time.Time{} }),
		leaked("another cluster's", func(e *eni.ENI) { e.Tags[eni.TagCluster] = "green" }),
		leaked("no cluster's", func(e *eni.ENI) { delete(e.Tags, eni.TagCluster) }),
		leaked("no instance's", func(e *eni.ENI) { delete(e.Tags, eni.TagInstance) }),
		leaked("kept", func(e *eni.ENI) { e.Tags[eni.TagNoManage] = "true" }),
		leaked("somebody's", func(e *eni.ENI) { e.Description = "RDSNetworkInterface" }),
		leaked("attached", func(e *eni.ENI) { e.AttachmentID = "attach-1" }),
	}
	names := func(list []eni.ENI) string {
		var out []string
		for _, e := range list {
			out = append(out, e.ID)
		}
		return strings.Join(out, ", ")
	}
	if got := names(Of("blue", all, now)); got != "leaked" {
		t.Errorf("leaked: %s", got)
	}
	if got := names(Of("", all, now)); got != "" {
		t.Errorf("without a name of the cluster: %s", got)
	}
}
