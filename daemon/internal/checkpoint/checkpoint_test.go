package checkpoint

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

const stock = `{"version":"vpc-cni-ipam/1","allocations":[
 {"networkName":"aws-cni","containerID":"c1","ifName":"eth0","ipv4":"10.0.0.7","allocationTimestamp":1700000000000000001,
  "metadata":{"k8sPodNamespace":"default","k8sPodName":"web-0","interfacesCount":1}},
 {"networkName":"_migrated-from-cri","containerID":"c2","ifName":"unknown","ipv4":"10.0.0.8","allocationTimestamp":0,"metadata":{}},
 {"networkName":"aws-cni","containerID":"c3","ifName":"eth0","ipv6":"2001:db8::1","metadata":{}}]}`

func TestParse(t *testing.T) {
	want := []Entry{
		{vpcnet.Attachment{Network: "aws-cni", ContainerID: "c1", IfName: "eth0"}, netip.MustParseAddr("10.0.0.7"), "default", "web-0", time.Unix(1700000000, 1)},
		{vpcnet.Attachment{Network: "aws-cni", ContainerID: "c2", IfName: "eth0"}, netip.MustParseAddr("10.0.0.8"), "", "", time.Unix(0, 0)},
	}
	for _, rename := range []string{"", "vpc"} {
		got, err := Parse([]byte(stock), rename)
		if err != nil {
			t.Fatal(err)
		}
		if rename != "" {
			want[0].Attachment.Network, want[1].Attachment.Network = rename, rename
		}
		if d := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); d != "" {
			t.Errorf("renamed to %q (-want +got):\n%s", rename, d)
		}
	}
}

func TestRefuses(t *testing.T) {
	entry := func(s string) string { return `{"version":"vpc-cni-ipam/1","allocations":[` + s + `]}` }
	for text, word := range map[string]string{
		``:                       "JSON",
		`{"version":"`:           "JSON",
		`{}`:                     `""`,
		`{"version":"ipam/2"}`:   "ipam/2",
		`{"allocations":"none"}`: "allocations",
		entry(`{"networkName":"n","containerID":"c","ifName":"eth0","ipv4":"10.0.0"}`):       `"10.0.0"`,
		entry(`{"networkName":"n","containerID":"","ifName":"eth0","ipv4":"10.0.0.1"}`):      "n//eth0",
		entry(`{"networkName":"n/m","containerID":"c","ifName":"eth0","ipv4":"10.0.0.1"}`):   "n/m/c/eth0",
		entry(`{"containerID":"c","ipv4":"10.0.0.1"},{"containerID":"d","ipv4":"10.0.0.1"}`): "held by aws-cni/c/eth0",
	} {
		if got, err := Parse([]byte(text), ""); err == nil || !strings.Contains(err.Error(), word) || got != nil {
			t.Errorf("%s: %v, %v; want an error with %q", text, got, err, word)
		}
	}
}

func TestRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ipam.json")
	if got, err := Read(path, ""); err != nil || got != nil {
		t.Errorf("no file: %v, %v", got, err)
	}
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(path, ""); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a broken file: %v", err)
	}
	if _, err := Read(filepath.Dir(path), ""); err == nil {
		t.Error("a directory is read")
	}
}

// Whatever the file has: no crash, and what is taken is whole.
func FuzzParse(f *testing.F) {
	f.Add([]byte(stock), "")
	f.Add([]byte(`{"version":"vpc-cni-ipam/1","allocations":[{"containerID":"c","ipv4":"10.0.0.1"}]}`), "vpc")
	f.Add([]byte(`{"version":"vpc-cni-ipam/1","allocations":null}`), "a/b")
	f.Fuzz(func(t *testing.T, raw []byte, rename string) {
		entries, err := Parse(raw, rename)
		if err != nil && entries != nil {
			t.Fatal("an error came with entries")
		}
		seen := map[netip.Addr]bool{}
		for _, e := range entries {
			if back, ok := vpcnet.ParseAlias(e.Attachment.Alias()); !ok || back != e.Attachment {
				t.Fatalf("%q is no attachment", e.Attachment)
			}
			if !e.Addr.Is4() || seen[e.Addr] {
				t.Fatalf("%s is no IPv4 address, or taken twice", e.Addr)
			}
			seen[e.Addr] = true
		}
	})
}
