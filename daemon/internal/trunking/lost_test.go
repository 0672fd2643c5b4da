package trunking_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/trunking"
)

// The limit of the instance type holds; a warm branch of others makes room, in
// the order in which pods wait.
func TestLimitOfTheType(t *testing.T) {
	inVPC(t, "m5.large", nil, func(w *world) { // 9 branches
		w.slow()
		l := w.start()
		for i := range 8 {
			l.mustAdd(fmt.Sprint("a", i), "sg-a")
		}
		pass(2 * time.Minute) // 8 and a warm one
		got, err := l.add("b", "sg-b", 50*time.Second)
		if err != nil {
			t.Fatalf("with a warm branch of another set: %v", err)
		}
		if n := len(w.branches()); n != 9 || !slices.Equal(w.branches()[got.ENI].Groups, []string{"sg-b"}) {
			t.Errorf("%d branches", n)
		}
		_, err = l.add("c", "sg-b", 20*time.Second)
		wantErr(t, err, trunking.ErrNoBranch, "9 of 9 branch ENIs: 9 in use", "move pods")
		l.del("a0")
		if _, err = l.add("c", "sg-b", 2*time.Minute); err != nil {
			t.Errorf("when one has rested: %v", err)
		}
	})
}

// The trunk's slot is kept: the pool stays one ENI below the instance's limit.
func TestSlotOfTheTrunk(t *testing.T) {
	inVPC(t, "m5.large", map[string]string{"ENABLE_POD_ENI": "true", "MINIMUM_IP_TARGET": "27"}, func(w *world) { // 3 ENIs with 9 addresses
		l := w.start()
		pass(time.Minute)
		if n := len(l.View().Pool.ENIs); n != 2 {
			t.Errorf("the pool has %d ENIs of 3, and one is the trunk's", n)
		}
		got := l.mustAdd("a", "sg-a")
		pass(time.Minute)
		v := l.View().Pool
		if len(v.ENIs) != 3 || !v.ENIs[2].IsTrunk() || !v.ENIs[2].Reserved || v.ENIs[2].Device != 2 || len(v.ENIs[2].Slots) != 0 || got.Carrier.ID != v.ENIs[2].ID {
			t.Errorf("with the trunk: %+v", v.ENIs)
		}
	})
}

// With lost books the branches of pods are found by what the kernel shows, the
// others rest; a pod that is not known keeps its branch from others.
func TestLostBooks(t *testing.T) {
	inVPC(t, "m5.large", nil, func(w *world) {
		l := w.start()
		a, b, c := l.mustAdd("a", "sg-a"), l.mustAdd("b", "sg-a"), l.mustAdd("c", "sg-a")
		pass(time.Minute)
		before := w.branches()
		w.kill()
		w.dirs += 100 // an empty directory
		w.pods = witnesses(a, b)
		w.pods = append(w.pods, inNetns(c)...)
		l = w.start()
		pass(2 * time.Minute)
		if again := l.mustAdd("a", "sg-a"); again.ENI != a.ENI || again.VLAN != a.VLAN {
			t.Errorf("a has %s, VLAN %d, after it had %s, VLAN %d", again.ENI, again.VLAN, a.ENI, a.VLAN)
		}
		if err := l.Check(att("b"), b.Addr.String()); err != nil {
			t.Error(err)
		}
		if after := w.branches(); len(after) != len(before) {
			t.Errorf("%d branches after %d", len(after), len(before))
		}
		spare := l.mustAdd("d", "sg-a") // the warm one, which has rested
		if _, ok := before[spare.ENI]; !ok || spare.ENI == a.ENI || spare.ENI == b.ENI || spare.ENI == c.ENI {
			t.Errorf("d has %s", spare.ENI)
		}
		if e := l.mustAdd("e", "sg-a"); before[e.ENI].ID != "" {
			t.Errorf("e has %s of before", e.ENI)
		}
		w.mu.Lock()
		w.pods = witnesses(a, b)
		w.mu.Unlock()
		l.del("e")
		pass(5 * time.Minute)
		l.mustAdd("f", "sg-a")
		for _, id := range []string{"a", "b", "d", "f"} {
			l.del(id)
		}
		pass(40 * time.Minute)
		if left := w.branches(); len(left) != 0 {
			t.Errorf("left in EC2: %v", left)
		}
	})
}

// Books that are there know better than a late answer: what they do not have is ended.
func TestUnknownBranchGoes(t *testing.T) {
	inVPC(t, "m5.large", nil, func(w *world) {
		l := w.start()
		l.mustAdd("a", "sg-a")
		l.mustAdd("b", "sg-b")
		l.del("a")
		l.del("b")
		pass(10 * time.Second)
		w.kill()
		old := filepath.Join(w.base, "old")
		if err := os.CopyFS(old, os.DirFS(filepath.Join(w.base, fmt.Sprint(w.dirs)))); err != nil {
			t.Fatal(err)
		}
		l = w.start()
		pass(40 * time.Minute)
		if n := len(w.branches()); n != 0 {
			t.Fatalf("%d branches left", n)
		}
		l.mustAdd("c", "sg-c")
		pass(time.Minute)
		w.kill()
		// The disk goes back to what it was before sg-c.
		w.dirs += 100
		if err := os.CopyFS(filepath.Join(w.base, fmt.Sprint(w.dirs)), os.DirFS(old)); err != nil {
			t.Fatal(err)
		}
		w.start()
		pass(40 * time.Minute)
		if left := w.branches(); len(left) != 0 {
			t.Errorf("left in EC2: %v", left)
		}
	})
}
