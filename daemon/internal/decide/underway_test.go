package decide

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpcchain/vpcchain/daemon/internal/eni"
)

// Pods that come one by one while EC2 works: each is promised what is under way
// or fits beside it, and only what does not fit is asked for.
func TestWhatIsUnderWayIsPromised(t *testing.T) {
	for _, tc := range []struct {
		name     string
		prefixes bool
		inFlight []Action
		waiters  int
		want     string
	}{
		{"nothing under way", false, nil, 2, "[assign 2 addresses to eni-0]"},
		{"the ENI is being filled", false, []Action{{Kind: Assign, ENI: "eni-0", Count: 1}}, 2, "[]"},
		{"and has no more room", false, []Action{{Kind: Assign, ENI: "eni-0", Count: 3}}, 4, "[create and attach an ENI with 1 addresses]"},
		{"more than it can have", false, []Action{{Kind: Assign, ENI: "eni-0", Count: 1}}, 5, "[create and attach an ENI with 2 addresses]"},
		{"an ENI is being made", false, []Action{{Kind: Assign, ENI: "eni-0", Count: 3}, {Kind: Create, Count: 1}}, 6, "[]"},
		{"and is too small", false, []Action{{Kind: Assign, ENI: "eni-0", Count: 3}, {Kind: Create, Count: 1}}, 8, "[create and attach an ENI with 2 addresses]"},
		{"prefixes", true, []Action{{Kind: Assign, ENI: "eni-0", Prefixes: 3}, {Kind: Create, Prefixes: 1}}, 96, "[]"},
		{"more prefixes", true, []Action{{Kind: Assign, ENI: "eni-0", Prefixes: 3}, {Kind: Create, Prefixes: 1}}, 100, "[create and attach an ENI with 1 prefixes]"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(eni.Limits{ENIs: 4, IPv4PerENI: 4, Hypervisor: "nitro"}, Targets{MinimumIP: 1}, tc.prefixes)
			in := w.input()
			in.InFlight, in.Waiters = tc.inFlight, tc.waiters
			if got := fmt.Sprint(Decide(in)); got != tc.want {
				t.Errorf("decided %s, want %s", got, tc.want)
			}
		})
	}
}

// A Create that has not called EC2 yet takes those in who came meanwhile, after
// the ENIs that are there, and no more than it can have.
func TestEnlarge(t *testing.T) {
	full := Action{Kind: Assign, ENI: "eni-0", Count: 3}
	for _, tc := range []struct {
		name    string
		targets Targets
		assign  Action
		create  Action
		waiters int
		want    Action
	}{
		{"nobody came", Targets{MinimumIP: 1}, full, Action{Kind: Create, Count: 1}, 4, Action{Kind: Create, Count: 1}},
		{"two came", Targets{MinimumIP: 1}, full, Action{Kind: Create, Count: 1}, 6, Action{Kind: Create, Count: 3}},
		{"too many came", Targets{MinimumIP: 1}, full, Action{Kind: Create, Count: 1}, 60, Action{Kind: Create, Count: 3}},
		{"with the target", Targets{WarmIP: 1}, full, Action{Kind: Create, Count: 1}, 4, Action{Kind: Create, Count: 2}},
		{"they fit on the other", Targets{MinimumIP: 1}, Action{Kind: Assign, ENI: "eni-0", Count: 2}, Action{Kind: Create, Count: 1}, 4, Action{Kind: Create, Count: 1}},
		{"no more pods", Targets{MinimumIP: 1, MaxPods: 5}, full, Action{Kind: Create, Count: 1}, 6, Action{Kind: Create, Count: 2}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(eni.Limits{ENIs: 4, IPv4PerENI: 4}, tc.targets, false)
			in := w.input()
			in.InFlight, in.Waiters = []Action{tc.assign, tc.create}, tc.waiters
			if d := cmp.Diff(tc.want, Enlarge(in, tc.create)); d != "" {
				t.Error(d)
			}
		})
	}
}
