package vpcnet

import (
	"net/netip"
	"testing"
)

func TestHostVethName(t *testing.T) {
	// Expected names come from sha1sum(1), not from this package.
	for _, tc := range []struct{ ns, name, id, ifname, want string }{
		{"default", "web", "c1", "eth0", "eni68caf03a5f4"},
		{"default", "web", "c2", "eth0", "eni68caf03a5f4"},
		{"default", "web", "c1", "net1", "eni52b4fc18275"},
		{"", "", "c1", "eth0", "eni0924fa252d6"},
	} {
		got := HostVethName(VethPrefix, tc.ns, tc.name, tc.id, tc.ifname)
		if got != tc.want {
			t.Errorf("HostVethName(%q,%q,%q,%q) = %s, want %s", tc.ns, tc.name, tc.id, tc.ifname, got, tc.want)
		}
	}
}

func TestENITable(t *testing.T) {
	for _, tc := range []struct{ card, device, want int }{
		{0, 0, 254}, {0, 1, 2}, {0, 14, 15}, {1, 1, 10101}, {3, 0, 10300},
	} {
		if got := ENITable(tc.card, tc.device); got != tc.want {
			t.Errorf("ENITable(%d, %d) = %d, want %d", tc.card, tc.device, got, tc.want)
		}
	}
}

func TestRouter(t *testing.T) {
	for in, want := range map[string]string{"10.20.11.0/24": "10.20.11.1", "100.64.32.0/19": "100.64.32.1", "10.20.11.162/24": "10.20.11.1"} {
		if got := Router(netip.MustParsePrefix(in)); got.String() != want {
			t.Errorf("Router(%s) = %s, want %s", in, got, want)
		}
	}
}

func FuzzParseAlias(f *testing.F) {
	for _, s := range []string{"vpc/c1/eth0", "", "a/b", "a/b/c/d", "//", "x//y"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, ok := ParseAlias(s)
		if ok && a.Alias() != s {
			t.Fatalf("ParseAlias(%q).Alias() = %q", s, a.Alias())
		}
		if !ok && a != (Attachment{}) {
			t.Fatalf("ParseAlias(%q) refused but returned %v", s, a)
		}
	})
}
