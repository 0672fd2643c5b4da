package decide

import (
	"testing"

	"github.com/vpcchain/vpcchain/daemon/internal/eni"
)

func TestWish(t *testing.T) {
	limits := eni.Limits{ENIs: 3, IPv4PerENI: 6}
	for _, tc := range []struct {
		name    string
		in      Input
		pods    int
		want    int
		setting string
		text    string
	}{
		{"defaults", Input{Targets: Targets{WarmENI: 1}}, 0, 5, "WARM_ENI_TARGET", "5 of WARM_ENI_TARGET"},
		{"defaults, pods", Input{Targets: Targets{WarmENI: 1}}, 2, 7, "WARM_ENI_TARGET", "2 in use + 5 of WARM_ENI_TARGET"},
		{"no target", Input{}, 2, 3, "", "2 in use + 1 that is free, as no target is set"},
		{"no target, somebody waits", Input{Waiters: 2}, 2, 4, "", "2 in use + 2 that ADDs wait for"},
		{"warm addresses", Input{Targets: Targets{WarmENI: 1, WarmIP: 3}, Demand: 4}, 1, 8, "WARM_IP_TARGET", "1 in use + 4 for pods on their way + 3 of WARM_IP_TARGET"},
		{"minimum", Input{Targets: Targets{MinimumIP: 10, WarmIP: 2}}, 1, 10, "MINIMUM_IP_TARGET", "MINIMUM_IP_TARGET 10, which is more than 1 in use + 2 of WARM_IP_TARGET"},
		{"minimum alone", Input{Targets: Targets{MinimumIP: 10}}, 0, 10, "MINIMUM_IP_TARGET", "MINIMUM_IP_TARGET 10, which is more than none in use"},
		{"more than the minimum", Input{Targets: Targets{MinimumIP: 2}}, 3, 3, "", "3 in use"},
		{"prefixes", Input{Prefixes: true, Targets: Targets{WarmPrefix: 1}}, 0, 16, "WARM_PREFIX_TARGET", "16 of WARM_PREFIX_TARGET"},
		{"maximum", Input{Targets: Targets{WarmENI: 1, MaxPods: 4}}, 2, 4, "MAX_PODS", "MAX_PODS 4, which is less than 2 in use + 5 of WARM_ENI_TARGET"},
		{"cordoned", Input{Cordoned: true, Targets: Targets{WarmENI: 1}}, 2, 2, "", "2 in use + none ready, as the node is cordoned"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(limits, Targets{WarmIP: 1}, false)
			w.attach(5, 0)
			for i := range tc.pods {
				w.pod(i)
			}
			tc.in.Pool, tc.in.Limits = w.p.Snapshot(w.now), limits
			got := Wanted(tc.in)
			if got.Addresses != tc.want || got.Setting != tc.setting || got.String() != tc.text || got.Has != tc.in.count().total() {
				t.Errorf("%d of %d by %q: %s\nwant %d by %q: %s", got.Addresses, got.Has, got.Setting, got, tc.want, tc.setting, tc.text)
			}
			if goal := tc.in.goal(tc.in.count()); goal != got.Addresses {
				t.Errorf("the loop goes by %d", goal)
			}
		})
	}
}
