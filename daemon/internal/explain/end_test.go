package explain

import (
	"net/netip"
	"testing"
)

func TestEnd(t *testing.T) {
	s := Snapshot{
		Primary: "m", Links: []Link{{Index: 2, Name: "eth0", MAC: "m"}}, Addrs: []Addr{{Link: 2, Prefix: in("10.0.0.5/24")}},
		ENIs: []ENI{{Pods: map[netip.Addr]Pod{at("10.0.0.9"): {Name: "ns/web"}}}},
	}
	for text, want := range map[string]string{"node": "10.0.0.5", "ns/web": "10.0.0.9", "1.2.3.4": "1.2.3.4", "ns/other": "", "::1": "", "web": ""} {
		got, err := s.End(text)
		if (err == nil) != (want != "") || err == nil && got.String() != want {
			t.Errorf("%s is %v, %v", text, got, err)
		}
	}
}
