package vpcnet

import "testing"

func TestBranchLink(t *testing.T) {
	for vlan := 1; vlan <= MaxVLAN; vlan++ {
		if got, ok := ParseBranchLink(BranchLink(vlan)); !ok || got != vlan {
			t.Fatalf("%s parses to %d, %v", BranchLink(vlan), got, ok)
		}
	}
	for _, name := range []string{"", "eth.1", "vlan.eth.", "vlan.eth.0", "vlan.eth.4095", "vlan.eth.01", "vlan.eth.+1", "vlan.eth.1a", "vlan.eth.-1"} {
		if got, ok := ParseBranchLink(name); ok {
			t.Errorf("%q parses to %d", name, got)
		}
	}
}

// No two branches share a table, and none has a table of the kernel, of the
// pods or of an ENI (2 to 16, 10000 and more).
func TestTableBranch(t *testing.T) {
	seen := map[int]int{0: 0, 253: 0, 254: 0, 255: 0, TablePods: 0}
	for vlan := 1; vlan <= MaxVLAN; vlan++ {
		table := TableBranch(vlan)
		if other, taken := seen[table]; taken || table <= 16 || table >= 10000 {
			t.Errorf("VLAN %d has table %d, as %d", vlan, table, other)
		}
		seen[table] = vlan
	}
	if TableBranch(153) != 6153 || TableBranch(152) != 252 || TableBranch(156) != 256 {
		t.Error("the exceptions are 153 to 155")
	}
}

func TestParseTableBranch(t *testing.T) {
	found := 0
	for table := range 70000 {
		vlan, ok := ParseTableBranch(table)
		if ok != (vlan >= 1 && vlan <= MaxVLAN && TableBranch(vlan) == table) {
			t.Errorf("table %d parses to %d, %v", table, vlan, ok)
		}
		if ok {
			found++
		}
	}
	if found != MaxVLAN {
		t.Errorf("%d tables parse, not %d", found, MaxVLAN)
	}
}
