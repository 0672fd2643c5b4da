package ec2_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	sdk "github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/vpcchain/vpcchain/integration/vpcsim/ec2"
	"github.com/vpcchain/vpcchain/integration/vpcsim/topology"
)

func TestIMDS(t *testing.T) {
	const lag = time.Hour
	sim, c := start(t, func(topo *topology.Topology) { topo.IMDSLag = topology.Duration(lag) })
	h := sim.IMDS(func(*http.Request) (string, bool) { return "node-a", true })
	m := imds.New(imds.Options{HTTPClient: ec2.NewDirectClient(h), Endpoint: "http://imds.invalid"})
	get := func(path string) string {
		t.Helper()
		out, err := m.GetMetadata(t.Context(), &imds.GetMetadataInput{Path: path})
		if err != nil {
			return err.Error()
		}
		b := make([]byte, 4096)
		n, _ := out.Content.Read(b)
		return string(b[:n])
	}
	mac := get("mac")
	if got := get("network/interfaces/macs/" + mac + "/local-ipv4s"); got != "10.20.11.162" {
		t.Errorf("local-ipv4s %q", got)
	}
	if got := get("network/interfaces/macs/"); got != mac+"/" {
		t.Errorf("macs %q", got)
	}
	if got := get("network/interfaces/macs/" + mac + "/vpc-ipv4-cidr-blocks"); got != "10.20.0.0/16\n100.64.0.0/16" {
		t.Errorf("vpc-ipv4-cidr-blocks %q", got)
	}
	in := nodeA(t, c)
	if _, err := c.AssignPrivateIpAddresses(t.Context(), &sdk.AssignPrivateIpAddressesInput{
		NetworkInterfaceId: in.NetworkInterfaces[0].NetworkInterfaceId, SecondaryPrivateIpAddressCount: aws.Int32(1),
	}); err != nil {
		t.Fatal(err)
	}
	if got := get("network/interfaces/macs/" + mac + "/local-ipv4s"); got != "10.20.11.162" {
		t.Errorf("IMDS does not lag: %q", got)
	}
	resp, err := ec2.NewDirectClient(h).Do(mustRequest(t, "http://imds.invalid/latest/meta-data/mac"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("without a token: %s", resp.Status)
	}
}

func mustRequest(t *testing.T, url string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
