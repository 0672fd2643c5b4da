package decide

import (
	"slices"
	"strings"
	"testing"

	"github.com/vpcchain/vpcchain/daemon/internal/eni"
	"github.com/vpcchain/vpcchain/daemon/internal/pool"
)

// grown is a t3.small after so many pods have come, one after another.
func grown(t *testing.T, targets Targets, prefixes bool, pods int) *world {
	t.Helper()
	w := newWorld(eni.Limits{ENIs: 3, IPv4PerENI: 4}, targets, prefixes)
	w.converge(t)
	for i := range pods {
		if !w.pod(i) {
			t.Fatalf("no address for pod %d", i)
		}
		w.converge(t)
	}
	return w
}

// Rows of the AWS VPC CNI's documentation: attached ENIs and addresses for
// given targets and pods.
func TestWarmTargets(t *testing.T) {
	for _, r := range readCSV(t, "testdata/warm-targets.csv") {
		t.Run(strings.Join(r[:5], ","), func(t *testing.T) {
			w := grown(t, Targets{WarmENI: num(r[1]), WarmIP: num(r[2]), MinimumIP: num(r[3])}, false, num(r[4]))
			s := w.p.Snapshot(w.now)
			var want, got []int
			for n := range strings.SplitSeq(r[8], "/") {
				want = append(want, num(n))
			}
			for _, e := range w.enis {
				got = append(got, len(e.Addresses))
			}
			slices.Sort(want)
			slices.Sort(got)
			if len(w.enis) != num(r[5]) || s.Total() != num(r[6]) || s.Count(pool.Free) != num(r[7]) || !slices.Equal(got, want) {
				t.Errorf("%d ENIs, %d addresses, %d unused, %v per ENI; want %s", len(w.enis), s.Total(), s.Count(pool.Free), got, r[5:])
			}
		})
	}
}

// The same in prefix mode.
func TestWarmPrefixTargets(t *testing.T) {
	for _, r := range readCSV(t, "testdata/warm-prefix-targets.csv") {
		t.Run(strings.Join(r[:5], ","), func(t *testing.T) {
			w := grown(t, Targets{WarmPrefix: num(r[1]), WarmIP: num(r[2]), MinimumIP: num(r[3])}, true, num(r[4]))
			s, prefixes := w.p.Snapshot(w.now), 0
			for _, e := range w.enis {
				prefixes += len(e.Prefixes)
			}
			if len(w.enis) != num(r[5]) || prefixes != num(r[6]) || s.Count(pool.Free) != num(r[7]) || s.Total() != 16*prefixes {
				t.Errorf("%d ENIs, %d prefixes, %d addresses, %d unused; want %s", len(w.enis), prefixes, s.Total(), s.Count(pool.Free), r[5:])
			}
		})
	}
}

// A burst is asked for at once, and what is under way is not asked for again.
func TestBurst(t *testing.T) {
	for _, tc := range []struct {
		name     string
		limits   eni.Limits
		targets  Targets
		prefixes bool
		waiters  int
		want     string
	}{
		{"one prefix", eni.Limits{ENIs: 3, IPv4PerENI: 4}, Targets{WarmPrefix: 1}, true, 0, "assign 1 prefixes to eni-0"},
		{"m5.4xlarge, 110 pods", eni.Limits{ENIs: 8, IPv4PerENI: 30}, Targets{WarmPrefix: 1, MaxPods: 110}, true, 110, "assign 7 prefixes to eni-0"},
		{"a warm one besides", eni.Limits{ENIs: 8, IPv4PerENI: 30}, Targets{WarmPrefix: 1}, true, 17, "assign 3 prefixes to eni-0"},
		{"m5.large, 27 pods", eni.Limits{ENIs: 3, IPv4PerENI: 10}, Targets{WarmIP: 1, MaxPods: 27}, false, 27, "assign 9 addresses to eni-0, create and attach an ENI with 9 addresses, create and attach an ENI with 9 addresses"},
		{"a whole ENI, up to the maximum", eni.Limits{ENIs: 3, IPv4PerENI: 10}, Targets{WarmENI: 1, MaxPods: 11}, false, 11, "assign 9 addresses to eni-0, create and attach an ENI with 2 addresses"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(tc.limits, tc.targets, tc.prefixes)
			in := w.input()
			in.Waiters = tc.waiters
			var texts []string
			actions := Decide(in)
			for _, a := range actions {
				texts = append(texts, a.String())
			}
			if got := strings.Join(texts, ", "); got != tc.want {
				t.Errorf("decided %s\nwant %s", got, tc.want)
			}
			if in.InFlight = actions; len(Decide(in)) > 0 {
				t.Errorf("asked again: %v", Decide(in))
			}
		})
	}
}

// A fragmented subnet gives single addresses on the same ENI, and prefixes again
// later; then the single ones go back.
func TestFragmentedSubnet(t *testing.T) {
	w := newWorld(eni.Limits{ENIs: 3, IPv4PerENI: 30}, Targets{WarmPrefix: 1}, true)
	w.blocks = 1
	w.converge(t)
	for i := range 10 {
		w.pod(i)
	}
	w.converge(t)
	if e := w.enis[0]; len(w.enis) != 1 || len(e.Prefixes) != 1 || len(e.Addresses) != 10 {
		t.Errorf("%d ENIs, %d prefixes, %d addresses; want 1, 1, and 10 instead of a prefix", len(w.enis), len(e.Prefixes), len(e.Addresses))
	}
	calls := w.calls
	w.fragmented[subnet] = false // time has passed, and nobody needs anything
	w.converge(t)
	if w.calls != calls {
		t.Errorf("%d calls without need", w.calls-calls)
	}
	w.blocks = 10
	w.pod(10)
	w.converge(t)
	if e := w.enis[0]; len(w.enis) != 1 || len(e.Prefixes) != 2 || len(e.Addresses) != 0 {
		t.Errorf("%d ENIs, %d prefixes, %d addresses; want 1, 2, 0", len(w.enis), len(e.Prefixes), len(e.Addresses))
	}
}

// A node that restarts in the other mode keeps its pods where they are, and what
// is free changes its kind, on the same ENI.
func TestModeSwitch(t *testing.T) {
	for _, tc := range []struct {
		name  string
		first bool
		want  string // prefixes/addresses of the primary ENI, after the switch and when the pods have gone
	}{{"to prefixes", false, "1/1 1/0"}, {"to addresses", true, "1/1 0/1"}} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(eni.Limits{ENIs: 2, IPv4PerENI: 3}, Targets{WarmIP: 1}, tc.first)
			w.converge(t)
			w.pod(0)
			w.converge(t)
			before, _ := w.p.Held(podOf(0))
			w.restart(!tc.first)
			w.converge(t)
			if after, _ := w.p.Held(podOf(0)); after != before {
				t.Errorf("the pod had %v and has %v", before, after)
			}
			got := shape(w)
			w.p.Release(podOf(0), w.now)
			w.converge(t)
			if got += " " + shape(w); got != tc.want || len(w.enis) != 1 {
				t.Errorf("%s on %d ENIs, want %s on 1", got, len(w.enis), tc.want)
			}
		})
	}
}

func shape(w *world) string {
	e := w.enis[0]
	return string(rune('0'+len(e.Prefixes))) + "/" + string(rune('0'+len(e.Addresses)))
}

// An ENI with an address that rests, a young one, and the primary one stay.
func TestNothingGoesTooEarly(t *testing.T) {
	w := grown(t, Targets{WarmPrefix: 1}, true, 17)
	for i := range 17 {
		w.p.Release(podOf(i), w.now)
	}
	if got := Decide(w.input()); len(got) != 0 {
		t.Errorf("while they rest: %v", got)
	}
	w.converge(t)
	if s := w.p.Snapshot(w.now); len(w.enis) != 1 || s.Total() != 16 {
		t.Errorf("%d ENIs, %d addresses; want 1 and 16", len(w.enis), s.Total())
	}
	w.attach(3, 0)
	if got := Decide(w.input()); len(got) != 0 {
		t.Errorf("with an ENI of this minute: %v", got)
	}
}
