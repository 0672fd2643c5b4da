package cloud

import (
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vpcchain/vpcchain/daemon/internal/eni"
)

// metadata is an IMDSv2 server with the given tree below /latest/meta-data/.
func metadata(t *testing.T, tree map[string]string) *httptest.Server {
	t.Helper()
	const token = "AQAEAexample"
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key, _ := strings.CutPrefix(r.URL.Path, "/latest/meta-data/")
		text, ok := tree[strings.TrimSuffix(key, "/")]
		switch {
		case r.Method == http.MethodPut && r.URL.Path == "/latest/api/token" && r.Header.Get("X-Aws-Ec2-Metadata-Token-Ttl-Seconds") != "":
			w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "21600")
			_, _ = io.WriteString(w, token)
		case r.Header.Get("X-Aws-Ec2-Metadata-Token") != token:
			w.WriteHeader(http.StatusUnauthorized)
		case !ok:
			w.WriteHeader(http.StatusNotFound)
		default:
			_, _ = io.WriteString(w, text)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// twoCards is the tree of an instance with an ENI on its second network card
// and one that goes while it is read.
func twoCards() map[string]string {
	const m0, m1 = "network/interfaces/macs/02:00:00:00:00:01/", "network/interfaces/macs/02:00:00:00:00:0A/"
	return map[string]string{
		"instance-id": "i-77", "placement/region": "eu-north-1", "mac": "02:00:00:00:00:01",
		"network/interfaces/macs": "02:00:00:00:00:0A/\n02:00:00:00:00:01/\n02:00:00:00:00:FF/\n",
		m0 + "interface-id":       "eni-0", m0 + "device-number": "0", m0 + "subnet-id": "subnet-1", m0 + "subnet-ipv4-cidr-block": "10.0.0.0/24",
		m0 + "local-ipv4s": "10.0.0.4", m0 + "security-group-ids": "sg-1\nsg-2",
		m1 + "interface-id": "eni-1", m1 + "device-number": "1", m1 + "network-card": "1", m1 + "subnet-id": "subnet-2", m1 + "subnet-ipv4-cidr-block": "10.0.1.0/24",
		m1 + "local-ipv4s": "10.0.1.4\n10.0.1.9", m1 + "security-group-ids": "sg-1", m1 + "ipv4-prefix": "10.0.1.16/28\n10.0.1.64/28",
	}
}

func credentials(t *testing.T) {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	t.Setenv("AWS_REGION", "")
	t.Setenv("AWS_CONFIG_FILE", "/dev/null")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
}

// TestEndpointsByEnvironment uses the SDK's own HTTP client against recorded
// answers in two pages: the environment says where EC2 and IMDS are.
func TestEndpointsByEnvironment(t *testing.T) {
	credentials(t)
	var forms []string
	ec2API := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		forms = append(forms, r.Form.Get("Action")+" "+r.Form.Get("NextToken")+r.Form.Get("Filter.1.Name")+"="+r.Form.Get("Filter.1.Value.1"))
		_, _ = io.WriteString(w, xml.Header+answers()[r.Form.Get("Action")+r.Form.Get("NextToken")])
	}))
	defer ec2API.Close()
	t.Setenv("AWS_ENDPOINT_URL_EC2", ec2API.URL)
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata(t, twoCards()).URL)
	c, err := New(t.Context(), Options{})
	check(t, err)
	if c.region != "eu-north-1" || c.InstanceID() != "i-77" {
		t.Errorf("region %s, instance %s", c.region, c.InstanceID())
	}
	got, err := c.Describe(t.Context())
	check(t, err)
	want := []eni.ENI{
		{
			ID: "eni-0", MAC: "02:00:00:00:00:01", AttachmentID: "eni-attach-0", SubnetID: "subnet-1", Subnet: netip.MustParsePrefix("10.0.0.0/24"),
			AZ: "eu-north-1a", Primary: netip.MustParseAddr("10.0.0.4"), Groups: []string{"sg-1"}, Type: "interface", Tags: map[string]string{}, DeleteOnTermination: true,
		},
		{
			ID: "eni-1", MAC: "02:00:00:00:00:0a", Card: 1, Device: 1, AttachmentID: "eni-attach-1", SubnetID: "subnet-2", Subnet: netip.MustParsePrefix("10.0.1.0/24"),
			AZ: "eu-north-1a", Primary: netip.MustParseAddr("10.0.1.4"), Addresses: []netip.Addr{netip.MustParseAddr("10.0.1.9")},
			Prefixes: []netip.Prefix{netip.MustParsePrefix("10.0.1.16/28")}, Type: "trunk", Description: "aws-K8S-i-77",
			Tags: map[string]string{TagCreatedAt: "2026-01-02T03:04:05Z"}, Created: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		},
	}
	if d := cmp.Diff(want, got, sameNet()); d != "" {
		t.Errorf("Describe (-want +got):\n%s", d)
	}
	// A type that no table has yet: the limit of card 0, not of all cards together.
	l, err := c.Limits(t.Context(), "p99.new")
	if want := (eni.Limits{ENIs: 15, IPv4PerENI: 50, Hypervisor: "nitro"}); err != nil || l != want {
		t.Errorf("Limits = %+v, %v; want %+v", l, err, want)
	}
	wantForms := []string{
		"DescribeNetworkInterfaces attachment.instance-id=i-77", "DescribeNetworkInterfaces page2attachment.instance-id=i-77", "DescribeSubnets =", "DescribeInstanceTypes =",
	}
	if d := cmp.Diff(wantForms, forms); d != "" {
		t.Errorf("requests (-want +got):\n%s", d)
	}
}

// answers are EC2's, by action and page.
func answers() map[string]string {
	return map[string]string{
		"DescribeNetworkInterfaces": `<DescribeNetworkInterfacesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><networkInterfaceSet><item>
<networkInterfaceId>eni-1</networkInterfaceId><subnetId>subnet-2</subnetId><availabilityZone>eu-north-1a</availabilityZone><description>aws-K8S-i-77</description>
<macAddress>02:00:00:00:00:0A</macAddress><interfaceType>trunk</interfaceType>
<attachment><attachmentId>eni-attach-1</attachmentId><deviceIndex>1</deviceIndex><networkCardIndex>1</networkCardIndex><deleteOnTermination>false</deleteOnTermination></attachment>
<tagSet><item><key>node.k8s.amazonaws.com/createdAt</key><value>2026-01-02T03:04:05Z</value></item></tagSet>
<privateIpAddressesSet><item><privateIpAddress>10.0.1.4</privateIpAddress><primary>true</primary></item><item><privateIpAddress>10.0.1.9</privateIpAddress><primary>false</primary></item></privateIpAddressesSet>
<ipv4PrefixSet><item><ipv4Prefix>10.0.1.16/28</ipv4Prefix></item></ipv4PrefixSet>
</item></networkInterfaceSet><nextToken>page2</nextToken></DescribeNetworkInterfacesResponse>`,
		"DescribeNetworkInterfacespage2": `<DescribeNetworkInterfacesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><networkInterfaceSet><item>
<networkInterfaceId>eni-0</networkInterfaceId><subnetId>subnet-1</subnetId><availabilityZone>eu-north-1a</availabilityZone><macAddress>02:00:00:00:00:01</macAddress><interfaceType>interface</interfaceType>
<attachment><attachmentId>eni-attach-0</attachmentId><deviceIndex>0</deviceIndex><networkCardIndex>0</networkCardIndex><deleteOnTermination>true</deleteOnTermination></attachment>
<groupSet><item><groupId>sg-1</groupId></item></groupSet>
<privateIpAddressesSet><item><privateIpAddress>10.0.0.4</privateIpAddress><primary>true</primary></item></privateIpAddressesSet>
</item></networkInterfaceSet></DescribeNetworkInterfacesResponse>`,
		"DescribeInstanceTypes": `<DescribeInstanceTypesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><instanceTypeSet><item>
<instanceType>p4d.24xlarge</instanceType><hypervisor>nitro</hypervisor><networkInfo><maximumNetworkInterfaces>60</maximumNetworkInterfaces><ipv4AddressesPerInterface>50</ipv4AddressesPerInterface>
<networkCards><item><networkCardIndex>0</networkCardIndex><maximumNetworkInterfaces>15</maximumNetworkInterfaces></item><item><networkCardIndex>1</networkCardIndex><maximumNetworkInterfaces>16</maximumNetworkInterfaces></item></networkCards>
</networkInfo></item></instanceTypeSet></DescribeInstanceTypesResponse>`,
		"DescribeSubnets": `<DescribeSubnetsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><subnetSet>
<item><subnetId>subnet-1</subnetId><cidrBlock>10.0.0.0/24</cidrBlock></item><item><subnetId>subnet-2</subnetId><cidrBlock>10.0.1.0/24</cidrBlock></item>
</subnetSet></DescribeSubnetsResponse>`,
	}
}

func TestMetadataENIs(t *testing.T) {
	credentials(t)
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata(t, twoCards()).URL)
	c, err := New(t.Context(), Options{})
	check(t, err)
	got, err := c.ENIs(t.Context())
	check(t, err)
	want := []eni.ENI{
		{ID: "eni-0", MAC: "02:00:00:00:00:01", SubnetID: "subnet-1", Subnet: netip.MustParsePrefix("10.0.0.0/24"), Primary: netip.MustParseAddr("10.0.0.4"), Addresses: []netip.Addr{}, Groups: []string{"sg-1", "sg-2"}, Untold: true},
		{
			ID: "eni-1", MAC: "02:00:00:00:00:0a", Card: 1, Device: 1, SubnetID: "subnet-2", Subnet: netip.MustParsePrefix("10.0.1.0/24"), Primary: netip.MustParseAddr("10.0.1.4"),
			Addresses: []netip.Addr{netip.MustParseAddr("10.0.1.9")}, Prefixes: []netip.Prefix{netip.MustParsePrefix("10.0.1.16/28"), netip.MustParsePrefix("10.0.1.64/28")}, Groups: []string{"sg-1"}, Untold: true,
		},
	}
	if d := cmp.Diff(want, got, sameNet()); d != "" {
		t.Errorf("ENIs (-want +got):\n%s", d)
	}
}

// TestMetadataNonsense: a value that cannot be parsed names its key.
func TestMetadataNonsense(t *testing.T) {
	credentials(t)
	for key, value := range map[string]string{
		"device-number": "one", "local-ipv4s": "10.0.1.4\n10.0.1.400", "subnet-ipv4-cidr-block": "10.0.1.0/24 10.0.2.0/24", "ipv4-prefix": "10.0.1.16",
	} {
		t.Run(key, func(t *testing.T) {
			tree := twoCards()
			tree["network/interfaces/macs/02:00:00:00:00:0A/"+key] = value
			t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata(t, tree).URL)
			c, err := New(t.Context(), Options{})
			check(t, err)
			if enis, err := c.ENIs(t.Context()); err == nil || !strings.Contains(err.Error(), key) {
				t.Errorf("ENIs = %v, %v", enis, err)
			}
		})
	}
}

// TestNoIMDSv1: a service without tokens, version 1, is not used.
func TestNoIMDSv1(t *testing.T) {
	credentials(t)
	v1 := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		_, _ = fmt.Fprint(w, "i-77")
	}))
	defer v1.Close()
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", v1.URL)
	if c, err := New(t.Context(), Options{}); err == nil {
		t.Errorf("New took instance %s from IMDSv1", c.InstanceID())
	}
}
