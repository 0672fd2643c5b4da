package capture

import (
	"encoding/hex"
	"strings"
	"testing"
	"time"
)

// A SYN as tcpdump wrote it: 10.20.11.162:1891 > 52.78.83.169:80, MSS 8961,
// SACK permitted, timestamps, window scale 7.
const synFrame = "0a0000000001" + "0a0000000002" + "0800" +
	"4500003c000040004006" + "0000" + "0a140ba2" + "344e53a9" +
	"0763" + "0050" + "00000001" + "00000000" + "a002" + "f507" + "0000" + "0000" +
	"02042301" + "0402" + "080a0000000100000000" + "01" + "030307"

func frame(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestDecode(t *testing.T) {
	tagged := strings.Replace(synFrame, "0a0000000002"+"0800", "0a0000000002"+"81000065"+"0800", 1)
	for _, tc := range []struct{ name, frame, source, dest, protocol, info string }{
		{"SYN", synFrame, "10.20.11.162:1891", "52.78.83.169:80", "TCP", "1891 → 80 [SYN] Win=62727 Len=0 MSS=8961 SACK_PERM WS=128"},
		{"tagged SYN", tagged, "10.20.11.162:1891", "52.78.83.169:80", "TCP", "1891 → 80 [SYN] Win=62727 Len=0 MSS=8961 SACK_PERM WS=128"},
		{
			"ARP", "ffffffffffff0a0000000002080600010800060400010a00000000020a140ba20000000000000a140b01",
			"10.20.11.162:0", "10.20.11.1:0", "ARP", "Who has 10.20.11.1? Tell 10.20.11.162",
		},
	} {
		p, err := Decode(frame(t, tc.frame), time.Unix(0, 0))
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		if p.Source.String() != tc.source || p.Dest.String() != tc.dest || p.Protocol != tc.protocol || p.Info != tc.info {
			t.Errorf("%s: %s %s %s %q", tc.name, p.Source, p.Dest, p.Protocol, p.Info)
		}
		if want := tc.name == "tagged SYN"; (p.VLAN == 101) != want {
			t.Errorf("%s: VLAN %d", tc.name, p.VLAN)
		}
	}
}

func TestFilter(t *testing.T) {
	p, err := Decode(frame(t, synFrame), time.Unix(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{
		"": true, "tcp": true, "udp": false, "dst 52.78.83.169": true, "src 52.78.83.169": false,
		"host 10.20.11.162 and tcp": true, "net 10.20.0.0/16": true, "dst net 10.20.0.0/16": false,
		"dst port 80": true, "src port 80": false, "port 1891 and dst 52.78.83.169": true, "arp": false, "vlan": false, "vlan 5": false,
	} {
		f, err := ParseFilter(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
		} else if f.Match(p) != want {
			t.Errorf("%q: match is %v", text, !want)
		}
	}
	p.VLAN = 5
	for text, want := range map[string]bool{"": true, "vlan": true, "vlan 5": true, "vlan 6": false, "vlan and tcp": true, "vlan 5 and udp": false} {
		f, err := ParseFilter(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
		} else if f.Match(p) != want {
			t.Errorf("%q with a tag: match is %v", text, !want)
		}
	}
	for _, text := range []string{"vlan 0", "vlan 4095", "vlan x", "vlan 5 tcp", "dst", "port 0", "port x", "tcp or udp", "tcp and", "host nowhere"} {
		if _, err := ParseFilter(text); err == nil {
			t.Errorf("%q was accepted", text)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(frame(f, synFrame))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := Decode(b, time.Unix(0, 0))
		if err == nil && (p.Protocol == "" || !p.Source.Addr().Is4()) {
			t.Fatalf("decoded nothing from %x: %+v", b, p)
		}
	})
}

func FuzzParseFilter(f *testing.F) {
	f.Add("dst 52.78.83.169 and port 80")
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := ParseFilter(text); err == nil && strings.TrimSpace(text) != "" {
			if got, _ := ParseFilter(text); len(got.terms) == 0 {
				t.Fatalf("%q gave no term", text)
			}
		}
	})
}
