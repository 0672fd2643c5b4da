package hostnet

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMerge(t *testing.T) {
	for _, tc := range []struct {
		name     string
		in, want []string
	}{
		{"none", nil, nil},
		{"one", []string{"10.0.0.5"}, []string{"10.0.0.5/32"}},
		{"aligned pair", []string{"10.0.0.5", "10.0.0.4"}, []string{"10.0.0.4/31"}},
		{"unaligned pair", []string{"10.0.0.5", "10.0.0.6"}, []string{"10.0.0.5/32", "10.0.0.6/32"}},
		{"duplicates", []string{"10.0.0.4", "10.0.0.5", "10.0.0.4", "10.0.0.5"}, []string{"10.0.0.4/31"}},
		{"run of seven", []string{"10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6", "10.0.0.7"}, []string{"10.0.0.1/32", "10.0.0.2/31", "10.0.0.4/30"}},
		{"ends of the space", []string{"0.0.0.0", "255.255.255.255"}, []string{"0.0.0.0/32", "255.255.255.255/32"}},
		{"both families", []string{"fd00::1", "10.0.0.1", "fd00::"}, []string{"10.0.0.1/32", "fd00::/127"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var in []netip.Addr
			for _, s := range tc.in {
				in = append(in, netip.MustParseAddr(s))
			}
			var got []string
			for _, p := range Merge(in) {
				got = append(got, p.String())
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Errorf("Merge (-want +got):\n%s", d)
			}
		})
	}
}

func TestMergePrefixes(t *testing.T) {
	in := []netip.Prefix{
		netip.MustParsePrefix("10.0.0.16/28"), netip.MustParsePrefix("10.0.0.0/28"),
		netip.MustParsePrefix("10.0.0.3/32"), netip.MustParsePrefix("10.0.0.32/32"),
		{},
	}
	want := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/27"), netip.MustParsePrefix("10.0.0.32/32")}
	if got := mergePrefixes(in); !slices.Equal(got, want) {
		t.Errorf("mergePrefixes = %v, want %v", got, want)
	}
}

// FuzzMerge reads each byte as an address of a /24 and checks the answer
// against the definition: exactly the set, disjoint, no two blocks that join.
func FuzzMerge(f *testing.F) {
	for _, s := range []string{"", "\x00", "\x04\x05", "\x05\x06", "\xff\xfe\xfd\xfc", "\x00\x01\x02\x03\x04\x05\x06\x07\x08"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		want := map[netip.Addr]bool{}
		var in []netip.Addr
		for _, b := range data {
			a := netip.AddrFrom4([4]byte{10, 0, 0, b})
			in, want[a] = append(in, a), true
		}
		got := Merge(in)
		covered := map[netip.Addr]bool{}
		for i, p := range got {
			if p != p.Masked() {
				t.Fatalf("%v is not masked", p)
			}
			for a := p.Addr(); p.Contains(a); a = a.Next() {
				if covered[a] || !want[a] {
					t.Fatalf("Merge(%v) = %v: %v twice or not asked for", in, got, a)
				}
				covered[a] = true
			}
			if i > 0 {
				if both, ok := join(got[i-1], p); ok {
					t.Fatalf("Merge(%v) = %v: could be %v", in, got, both)
				}
			}
		}
		if len(covered) != len(want) {
			t.Fatalf("Merge(%v) = %v: covers %d of %d", in, got, len(covered), len(want))
		}
	})
}
