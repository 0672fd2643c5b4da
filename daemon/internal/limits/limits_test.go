package limits

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpcchain/vpcchain/daemon/internal/eni"
)

// Every row can be used, and no mode gives a type less than nothing or more than
// its ENIs have.
func TestTable(t *testing.T) {
	all, err := rows(table)
	if err != nil || len(all) < 100 {
		t.Fatalf("%d rows, %v", len(all), err)
	}
	for _, row := range all {
		l, ok, err := Of(row[0])
		if err != nil || !ok || l.ENIs < 2 || l.IPv4PerENI < 2 || l.Hypervisor == "" {
			t.Errorf("%s: %+v, %v, %v", row[0], l, ok, err)
		}
		plain := For(l, row[0], Mode{})
		for _, m := range []Mode{{Prefixes: true}, {Custom: true}, {Prefixes: true, Custom: true}, {Trunk: true}, {Prefixes: true, Custom: true, Trunk: true}} {
			c := For(l, row[0], m)
			if c.ENIs < 0 || c.ENIs > plain.ENIs || c.Addresses != c.ENIs*c.PerENI || c.Kubelet > c.Pods || c.Kubelet > 250 {
				t.Errorf("%s %+v: %+v", row[0], m, c)
			}
		}
	}
}

func TestOf(t *testing.T) {
	for _, bad := range []string{"a,x,2,nitro,1", "a,2,x,nitro,1", "a,2,2,nitro,x", "a,2", "b,2,2,nitro,1", `"`} {
		if l, ok, err := find("h,h,h,h,h\n"+bad, "a"); err == nil && ok {
			t.Errorf("%q gave %+v", bad, l)
		}
	}
	if l, ok, err := Of("instance_type"); ok || err != nil {
		t.Errorf("the heading is a type: %+v, %v", l, err)
	}
	family, err := Family("m5.other")
	if err != nil || !slices.Contains(family, "m5.large") || slices.ContainsFunc(family, func(f string) bool { return !strings.HasPrefix(f, "m5.") }) {
		t.Errorf("%v, %v", family, err)
	}
}

// The figures of AWS: ENIs × (addresses - 1) + 2, and the kubelet's of the EKS User Guide.
func TestFor(t *testing.T) {
	for _, tc := range []struct {
		kind string
		mode Mode
		want Capacity
	}{
		{"m5.large", Mode{}, Capacity{ENIs: 3, PerENI: 9, Addresses: 27, Pods: 29, Kubelet: 29}},
		{"t3.medium", Mode{}, Capacity{3, 5, 15, 17, 17}},
		{"t3.medium", Mode{Custom: true}, Capacity{2, 5, 10, 12, 12}},
		{"t3.medium", Mode{Prefixes: true}, Capacity{3, 80, 240, 242, 110}},
		{"m5.4xlarge", Mode{}, Capacity{8, 29, 232, 234, 110}},
		{"m5.8xlarge", Mode{}, Capacity{8, 29, 232, 234, 234}},
		{"m5.24xlarge", Mode{Prefixes: true}, Capacity{15, 49 * 16, 15 * 49 * 16, 15*49*16 + 2, 250}},
		{"m5.metal", Mode{}, Capacity{15, 49, 735, 737, 250}},
		{"m5.large", Mode{Custom: true, Trunk: true}, Capacity{1, 9, 9, 11, 11}},
		{"t2.medium", Mode{Prefixes: true}, Capacity{ENIs: 3}},
		{"t3.medium", Mode{Trunk: true}, Capacity{3, 5, 15, 17, 17}}, // carries no trunk
	} {
		l, ok, err := Of(tc.kind)
		if !ok || err != nil {
			t.Fatalf("%s: %v, %v", tc.kind, ok, err)
		}
		if d := cmp.Diff(tc.want, For(l, tc.kind, tc.mode)); d != "" {
			t.Errorf("%s %+v (-want +got):\n%s", tc.kind, tc.mode, d)
		}
	}
	if c := For(eni.Limits{ENIs: 1, IPv4PerENI: 4}, "mac1.metal", Mode{Custom: true, Trunk: true}); c != (Capacity{PerENI: 3}) {
		t.Errorf("one ENI: %+v", c)
	}
}
