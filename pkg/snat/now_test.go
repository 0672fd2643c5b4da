package snat

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/nftables/expr"
)

func prefixesOf(texts ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, t := range texts {
		out = append(out, netip.MustParsePrefix(t))
	}
	return out
}

func equalLines(t *testing.T, what string, want, got Line) {
	t.Helper()
	if d := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }), cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
		cmpopts.IgnoreFields(Line{}, "Where", "Text")); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func TestParseLine(t *testing.T) {
	for text, want := range map[string]Line{
		`! -d 10.20.0.0/16 -m comment --comment "AWS SNAT CHAIN" -j AWS-SNAT-CHAIN-1`: {Dst: prefixesOf("10.20.0.0/16"), DstNot: true, Target: "AWS-SNAT-CHAIN-1"},
		`-d 10.1.2.3/32 -m comment --comment "AWS SNAT CHAIN" -j RETURN`:              {Dst: prefixesOf("10.1.2.3/32"), Return: true},
		`! -o vlan+ -m comment --comment "AWS, SNAT" -m addrtype ! --dst-type LOCAL -j SNAT --to-source 10.0.0.1 --random-fully`: {
			Out: Name{"vlan", true, true}, Local: No, To: netip.MustParseAddr("10.0.0.1"),
		},
		`-i eth0 -m comment --comment "AWS, primary ENI" -m addrtype --dst-type LOCAL --limit-iface-in -j CONNMARK --set-xmark 0x80/0x80`: {
			In: Name{Text: "eth0"}, Local: Yes, Conn: 0x80,
		},
		`-i eni+ -m comment --comment "AWS, primary ENI" -j CONNMARK --restore-mark --nfmask 0x80 --ctmask 0x80`: {
			In: Name{Text: "eni", Prefix: true}, Restored: 0x80, Mark: 0x80,
		},
		`-s 10.0.0.0/8 -j MASQUERADE`:              {Src: prefixesOf("10.0.0.0/8"), Unreadable: "it has the target MASQUERADE"},
		`-m mark --mark 0x4000/0x4000 -j ACCEPT`:   {Unreadable: "it has 0x4000/0x4000", Accept: true},
		`-j SNAT --to-source 10.0.0.1-10.0.0.9`:    {Unreadable: "its new source is not one address"},
		`-d`:                                       {Unreadable: "its address / is none"},
		`-m comment --comment "open -j KUBE-CHAIN`: {},
	} {
		got := parseLine(text)
		if text == "-d" {
			if got.Unreadable == "" {
				t.Errorf("%q is read as %+v", text, got)
			}
			continue
		}
		equalLines(t, text, want, got)
	}
}

// What this package writes is read back whole: every rule of both backends.
func TestOwnRulesAreReadable(t *testing.T) {
	for _, style := range []string{"chain", "flat"} {
		s, err := Parse(Texts{"vpcCIDRs": "10.20.0.0/16,100.64.0.0/16", "excludeSNATCIDRs": "192.168.0.0/16", "nodeIP": "10.20.11.162", "primaryLink": "eth0", "chainStyle": style})
		if err != nil {
			t.Fatal(err)
		}
		for table, rules := range s.ipTables(true, true) {
			all := rules.chains
			for name, r := range rules.builtin {
				all = append(all, ipChain{name, r})
			}
			for _, c := range all {
				for _, r := range c.rules {
					if l := parseLine(r); l.Unreadable != "" {
						t.Errorf("%s %s %q: %s", table, c.name, r, l.Unreadable)
					}
				}
			}
		}
		for _, c := range s.nftChains(true) {
			for _, r := range c.rules {
				l := decodeLine(r.exprs, s.Internal())
				if l.Unreadable != "" {
					t.Errorf("%s %q: %s", c.name, r.text, l.Unreadable)
				}
				if c.name == chainSource {
					equalLines(t, r.text, Line{Out: Name{"vlan", true, true}, Dst: s.Internal(), DstNot: true, Local: No, To: s.NodeIP}, l)
				}
				if c.name == chainOutbound {
					equalLines(t, r.text, Line{In: Name{"eni", true, false}, Dst: s.Internal(), DstNot: true, Mark: 0x80, Conn: 0x80}, l)
				}
			}
		}
	}
}

// What sets the mark of a connection comes back from the kernel without its register.
func TestReadBackConnMark(t *testing.T) {
	exprs := rule("x").setConnMark(0x80).exprs
	exprs[len(exprs)-1] = &expr.Ct{Key: expr.CtKeyMARK}
	equalLines(t, "read back", Line{Conn: 0x80}, decodeLine(exprs, nil))
}

func FuzzParseLine(f *testing.F) {
	f.Add(`! -d 10.20.0.0/16 -m comment --comment "x" -j Y`)
	f.Add(`-m addrtype ! --dst-type`)
	f.Add(`"`)
	f.Fuzz(func(t *testing.T, text string) {
		l := parseLine(text)
		if l.To.IsValid() && !strings.Contains(text, "--to-source") {
			t.Errorf("%q has the source %s", text, l.To)
		}
	})
}

// Every set of prefixes comes back from its elements as the same addresses.
func FuzzIntervals(f *testing.F) {
	f.Add(uint32(0x0a140000), uint8(16), uint32(0xc0a80000), uint8(16))
	f.Add(uint32(0), uint8(0), uint32(0xffffffff), uint8(32))
	f.Add(uint32(0x0a000000), uint8(9), uint32(0x0a800000), uint8(9))
	f.Fuzz(func(t *testing.T, a uint32, abits uint8, b uint32, bbits uint8) {
		var ps []netip.Prefix
		for i, n := range []uint32{a, b} {
			var raw [4]byte
			binary.BigEndian.PutUint32(raw[:], n)
			ps = append(ps, netip.PrefixFrom(netip.AddrFrom4(raw), int([]uint8{abits, bbits}[i])%33).Masked())
		}
		s := Settings{VPCCIDRs: ps}
		keys := map[string]bool{}
		for _, e := range elements(s.Internal()) {
			keys[elementKey(e)] = true
		}
		got := intervals(keys)
		for _, p := range ps {
			last := p.Addr()
			for _, q := range append(got, p) {
				if p.Overlaps(q) && q.Bits() >= p.Bits() {
					last = q.Addr()
				}
			}
			for _, probe := range []netip.Addr{p.Addr(), last, p.Addr().Prev(), a4(p, 1)} {
				want := ps[0].Contains(probe) || ps[1].Contains(probe)
				have := false
				for _, q := range got {
					have = have || q.Contains(probe)
				}
				if want != have {
					t.Errorf("%v of %v: %s is in: %t, want %t", got, ps, probe, have, want)
				}
			}
		}
	})
}

// a4 is the first address behind p; the invalid one where there is none.
func a4(p netip.Prefix, n uint64) netip.Addr {
	raw := p.Addr().As4()
	at := uint64(binary.BigEndian.Uint32(raw[:])) + 1<<(32-p.Bits()) + n - 1
	if at > 0xffffffff {
		return netip.Addr{}
	}
	binary.BigEndian.PutUint32(raw[:], uint32(at))
	return netip.AddrFrom4(raw)
}
