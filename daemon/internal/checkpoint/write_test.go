package checkpoint

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

func TestFormat(t *testing.T) {
	e := Entry{
		Attachment: vpcnet.Attachment{Network: "vpc", ContainerID: "c1", IfName: "eth0"},
		Addr:       netip.MustParseAddr("10.20.11.7"), Namespace: "default", Name: "web", Since: time.Unix(0, 1234567890123456789),
	}
	raw, err := Format([]Entry{e})
	if err != nil {
		t.Fatal(err)
	}
	// The stock daemon's own form, field by field.
	const want = `{"version":"vpc-cni-ipam/1","allocations":[{"networkName":"aws-cni","containerID":"c1","ifName":"eth0","ipv4":"10.20.11.7",` +
		`"allocationTimestamp":1234567890123456789,"metadata":{"k8sPodNamespace":"default","k8sPodName":"web","interfacesCount":1}}]}` + "\n"
	if diff := cmp.Diff(want, string(raw)); diff != "" {
		t.Error(diff)
	}
	back, err := Parse(raw, "vpc")
	if err != nil || len(back) != 1 || back[0] != e {
		t.Errorf("reads back as %v, %v", back, err)
	}
	nameless, second := e, e
	nameless.Name = ""
	second.Attachment.IfName = "net1"
	for _, bad := range []Entry{nameless, second} {
		if _, err := Format([]Entry{e, bad}); err == nil || !strings.Contains(err.Error(), "delete this one first") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
