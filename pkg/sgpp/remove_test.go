package sgpp

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Branches in both modes, whose pods still run, are gone after Remove, and the
// node is as it was before strict mode; a second Remove finds nothing.
func TestRemove(t *testing.T) {
	for _, mode := range []string{"strict", "standard"} {
		f := newFake()
		k := f.keeper()
		before := f.text()
		for i, name := range []string{"web", "db"} {
			b := fakeBranch(name, 5+i, mode)
			f.veth(b)
			if err := k.Add(b, fakeNode()); err != nil {
				t.Fatal(err)
			}
		}
		dry, err := k.Remove(true)
		if err != nil || len(dry) < 4 {
			t.Errorf("%s: would remove %q, %v", mode, dry, err)
		}
		done, err := k.Remove(false)
		if err != nil || !slices.Equal(done, dry) {
			t.Errorf("%s: removed %q, said %q, %v", mode, done, dry, err)
		}
		for _, l := range slices.Clone(f.links) { // the caller's
			if l.Kind == "veth" {
				f.remove(l.Index)
			}
		}
		if diff := cmp.Diff(before, f.text()); diff != "" {
			t.Errorf("%s: left\n%s", mode, diff)
		}
		if again, err := k.Remove(false); err != nil || len(again) != 0 {
			t.Errorf("%s: the second time: %q, %v", mode, again, err)
		}
	}
}
