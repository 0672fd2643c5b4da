// Package topology reads the file that describes a simulated VPC: its subnets,
// route tables, security groups, instances and the hosts outside it. A Topology
// that Parse returned is complete and consistent; nobody checks it again.
package topology

import (
	_ "embed" // the default topology
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"sigs.k8s.io/yaml"
)

// Topology is a VPC and what is around it at the start of a simulation.
type Topology struct {
	Region         string          `json:"region"`
	VPC            VPC             `json:"vpc"`
	RouteTables    []RouteTable    `json:"routeTables"`
	SecurityGroups []SecurityGroup `json:"securityGroups"`
	Subnets        []Subnet        `json:"subnets"`
	Instances      []Instance      `json:"instances"`
	Services       []Service       `json:"services"`
	// InternetGateway is the name of the gateway to the internet, as routes and external hosts give it.
	InternetGateway string       `json:"internetGateway"`
	NATGateways     []NATGateway `json:"natGateways"`
	External        []External   `json:"external"`
	// NextAddresses pins, by subnet id, the next addresses that EC2 hands out.
	NextAddresses map[string][]netip.Addr `json:"nextAddresses"`
	Conditions
}

// VPC has its primary CIDR first, then the secondary ones.
type VPC struct {
	ID    string         `json:"id"`
	CIDRs []netip.Prefix `json:"cidrs"`
}

// RouteTable lists the routes besides the local ones, which are implied.
type RouteTable struct {
	ID     string  `json:"id"`
	Routes []Route `json:"routes"`
}

// Route sends a destination to the gateway of external hosts or to a NAT gateway.
type Route struct {
	Destination netip.Prefix `json:"destination"`
	Target      string       `json:"target"`
}

// SecurityGroup is a set of allow rules.
type SecurityGroup struct {
	ID      string       `json:"id"`
	Ingress []Permission `json:"ingress"`
	Egress  []Permission `json:"egress"`
}

// Permission allows a protocol ("-1" or absent for all, tcp, udp, icmp) and
// ports from or to CIDRs and members of groups ("self" is the group itself).
type Permission struct {
	Protocol string         `json:"protocol"`
	FromPort int            `json:"fromPort"`
	ToPort   int            `json:"toPort"`
	CIDRs    []netip.Prefix `json:"cidrs"`
	Groups   []string       `json:"groups"`
}

// Subnet is a subnet of the VPC.
type Subnet struct {
	ID         string            `json:"id"`
	CIDR       netip.Prefix      `json:"cidr"`
	AZ         string            `json:"az"`
	RouteTable string            `json:"routeTable"`
	Tags       map[string]string `json:"tags"`
	// Scatter makes EC2 hand out single addresses from another /28 each time, so
	// that few of them use up the free blocks; otherwise in ascending order.
	Scatter bool `json:"scatter"`
}

// Instance is an EC2 instance with its primary ENI.
type Instance struct {
	Name     string     `json:"name"`
	ID       string     `json:"id"` // default i- and a hash of the name
	Type     string     `json:"type"`
	Subnet   string     `json:"subnet"`
	IP       netip.Addr `json:"ip"`
	Groups   []string   `json:"groups"`
	PublicIP netip.Addr `json:"publicIP"` // optional 1:1 mapping of IP
}

// Service is a host in the VPC that is not an instance of ours: a VPC endpoint.
type Service struct {
	Name   string     `json:"name"`
	Subnet string     `json:"subnet"`
	IP     netip.Addr `json:"ip"`
	Groups []string   `json:"groups"`
}

// NATGateway is a public NAT gateway: who is routed to it appears on the
// internet with its PublicIP.
type NATGateway struct {
	Name     string     `json:"name"`
	Subnet   string     `json:"subnet"`
	IP       netip.Addr `json:"ip"`
	PublicIP netip.Addr `json:"publicIP"`
}

// External is a host outside the VPC, behind the gateway that routes name.
type External struct {
	Name    string     `json:"name"`
	Gateway string     `json:"gateway"`
	IP      netip.Addr `json:"ip"`
	HTTP    bool       `json:"http"` // answers on port 80, with the client's address
}

// Duration is a time.Duration written as "1s".
type Duration time.Duration

// UnmarshalJSON reads a duration string.
func (d *Duration) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("duration %s: write it as a string such as \"1s\"", b)
	}
	v, err := time.ParseDuration(s)
	if err != nil {
		return err
	}
	if v < 0 {
		return fmt.Errorf("duration %s is negative", s)
	}
	*d = Duration(v)
	return nil
}

// MarshalJSON writes a duration string.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(d).String()) }

//go:embed default.yaml
var defaultYAML []byte

// Default is the topology of `vpcsim up` without a file.
func Default() Topology {
	t, err := Parse(defaultYAML)
	if err != nil {
		panic("the embedded topology: " + err.Error()) // a test parses it
	}
	return t
}

// Parse reads and checks a topology file. Unknown keys are errors.
func Parse(raw []byte) (Topology, error) {
	var t Topology
	if err := yaml.UnmarshalStrict(raw, &t); err != nil {
		return Topology{}, fmt.Errorf("parsing topology: %w", err)
	}
	t.defaults()
	if err := t.validate(); err != nil {
		return Topology{}, fmt.Errorf("topology: %w", err)
	}
	return t, nil
}

// String prints the topology for people.
func (t Topology) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "VPC %s in %s:", t.VPC.ID, t.Region)
	for _, c := range t.VPC.CIDRs {
		fmt.Fprintf(&b, " %s", c)
	}
	b.WriteByte('\n')
	for _, s := range t.Subnets {
		fmt.Fprintf(&b, "  subnet   %-16s %-18s %s\n", s.ID, s.CIDR, s.AZ)
	}
	for _, i := range t.Instances {
		fmt.Fprintf(&b, "  instance %-16s %-18s %s in %s%s\n", i.Name, i.IP, i.Type, i.Subnet, public(i.PublicIP))
	}
	for _, s := range t.Services {
		fmt.Fprintf(&b, "  service  %-16s %-18s in %s\n", s.Name, s.IP, s.Subnet)
	}
	for _, n := range t.NATGateways {
		fmt.Fprintf(&b, "  NAT      %-16s %-18s in %s%s\n", n.Name, n.IP, n.Subnet, public(n.PublicIP))
	}
	for _, e := range t.External {
		fmt.Fprintf(&b, "  outside  %-16s %-18s behind %s\n", e.Name, e.IP, e.Gateway)
	}
	return b.String()
}

func public(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return ", public " + a.String()
}
