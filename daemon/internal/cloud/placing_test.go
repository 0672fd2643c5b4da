package cloud

import (
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpcchain/vpcchain/daemon/internal/eni"
)

func TestSubnets(t *testing.T) {
	onNodeA(t, Options{}, func(n node) {
		got, err := n.c.Subnets(n.t.Context(), "vpc-1", "us-west-2a")
		check(n.t, err)
		want := []eni.Subnet{
			{ID: "subnet-a", CIDR: netip.MustParsePrefix("10.20.11.0/24"), AZ: "us-west-2a", Free: 250, Tags: map[string]string{}},
			{ID: "subnet-tiny", CIDR: netip.MustParsePrefix("100.64.0.0/28"), AZ: "us-west-2a", Free: 11, Tags: map[string]string{}},
		}
		if d := cmp.Diff(want, got, sameNet()); d != "" {
			n.t.Errorf("Subnets (-want +got):\n%s", d)
		}
		// What it told of the CIDRs is not asked again.
		_, err = n.c.Create(n.t.Context(), eni.CreateSpec{SubnetID: "subnet-tiny"})
		check(n.t, err)
		if c := calls(n.sim); c["DescribeSubnets ok"] != 1 {
			n.t.Errorf("calls %v", c)
		}
		if got, err := n.c.Subnets(n.t.Context(), "vpc-1", "us-west-2b"); err != nil || len(got) != 0 {
			n.t.Errorf("another zone: %v, %v", got, err)
		}
	})
}

// TestSubnetsOfManyPages: a region may have hundreds; one has no IPv4.
func TestSubnetsOfManyPages(t *testing.T) {
	credentials(t)
	ec2API := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		page := `<item><subnetId>subnet-1</subnetId><cidrBlock>10.0.0.0/24</cidrBlock><availableIpAddressCount>7</availableIpAddressCount>
<tagSet><item><key>kubernetes.io/role/cni</key><value>1</value></item></tagSet></item><item><subnetId>subnet-6</subnetId></item></subnetSet><nextToken>2</nextToken>`
		if r.Form.Get("NextToken") == "2" {
			page = `<item><subnetId>subnet-2</subnetId><cidrBlock>10.0.1.0/24</cidrBlock></item></subnetSet>`
		}
		_, _ = io.WriteString(w, xml.Header+`<DescribeSubnetsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><subnetSet>`+page+`</DescribeSubnetsResponse>`)
	}))
	defer ec2API.Close()
	t.Setenv("AWS_ENDPOINT_URL_EC2", ec2API.URL)
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata(t, twoCards()).URL)
	c, err := New(t.Context(), Options{})
	check(t, err)
	got, err := c.Subnets(t.Context(), "vpc-1", "eu-north-1a")
	check(t, err)
	if len(got) != 2 || got[0].ID != "subnet-1" || got[0].Free != 7 || got[0].Tags["kubernetes.io/role/cni"] != "1" || got[1].ID != "subnet-2" {
		t.Errorf("subnets %+v", got)
	}
}

func TestSetGroups(t *testing.T) {
	onNodeA(t, Options{}, func(n node) {
		made, err := n.c.Create(n.t.Context(), eni.CreateSpec{SubnetID: "subnet-a", Groups: []string{"sg-nodes"}})
		check(n.t, err)
		_, err = n.c.Attach(n.t.Context(), made.ID, 0, 1)
		check(n.t, err)
		check(n.t, n.c.SetGroups(n.t.Context(), made.ID, []string{"sg-pods", "sg-nodes"}))
		enis, err := n.c.Describe(n.t.Context())
		check(n.t, err)
		if got := enis[1].Groups; !slices.Equal(slices.Sorted(slices.Values(got)), []string{"sg-nodes", "sg-pods"}) {
			n.t.Errorf("groups %q", got)
		}
		err = n.c.SetGroups(n.t.Context(), made.ID, []string{"sg-none"})
		if !errors.Is(err, eni.ErrNotFound) || !strings.Contains(err.Error(), made.ID) {
			n.t.Errorf("no such group: %v", err)
		}
	})
}
