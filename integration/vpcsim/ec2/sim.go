// Package ec2 is the part of EC2 that a VPC CNI talks to: network interfaces,
// their addresses and attachments, subnets that run out, the limits of instance
// types. Its Handler speaks the EC2 Query protocol (version 2016-11-15), so
// that the unmodified AWS SDK is the client; errors carry EC2's codes. It does
// not decide about packets: it hands the network's plan to whoever enforces it.
//
// One mutex guards the model. Latency and faults act outside it, time comes from
// package time and nothing runs in the background, so that the handler works in
// a testing/synctest bubble.
package ec2

import (
	"encoding/csv"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	_ "embed" // the instance limits

	"github.com/vpcchain/vpcchain/integration/vpcsim/network"
	"github.com/vpcchain/vpcchain/integration/vpcsim/topology"
)

// Sim is a simulated region with one VPC.
type Sim struct {
	mu        sync.Mutex
	topo      topology.Topology
	cidrs     []netip.Prefix
	instances map[string]*instance // by id
	names     map[string]*instance
	enis      map[string]*eni
	// carries are the attached ENIs by instance; a region may have thousands of both.
	carries   map[string]map[string]*eni
	detaching int // attachments that EC2 is taking off
	subnets   map[string]*subnet
	limits    map[string]Limits
	tokens    map[string]token // ClientToken -> what it made
	// associations are those of branches with trunks, by id.
	associations map[string]*association
	serial       int
	onChange     func(network.VPC) error
	imds         imdsHistory

	past history

	calls    counters
	requests atomic.Uint64
	faults   faults
	throttle throttle
}

// Limits are those of an instance type.
type Limits struct {
	ENIs, IPv4PerENI int
	Hypervisor       string
	Branches         int
}

// token is a request that had a ClientToken, and the id of what it made or ended.
type token struct{ params, id string }

// check refuses the token with other parameters than at first.
func (t token) check(q query) error {
	if t.params != params(q) {
		return &apiError{"IdempotentParameterMismatch", "The client token was used with other parameters", 400}
	}
	return nil
}

type instance struct {
	id, name, kind, az string
	public             netip.Addr
}

type subnet struct {
	topology.Subnet
	used   map[netip.Addr]string // address -> ENI id
	next   netip.Addr            // where the search for a free address goes on
	pinned []netip.Addr
}

type eni struct {
	id, mac, subnet, description string
	kind                         string // as it was created: interface, trunk, branch, nat_gateway
	primary                      netip.Addr
	addrs                        []netip.Addr
	prefixes                     []netip.Prefix
	groups                       []string
	tags                         map[string]string
	sourceDestCheck              bool
	requester                    string // set: managed by another AWS service
	host                         string // service host or NAT gateway that has the link
	public                       netip.Addr
	attachment                   *attachment
	association                  *association // of a branch with its trunk
	made                         time.Time    // zero: before the simulation began
}

type attachment struct {
	id, instance        string
	card, device        int
	deleteOnTermination bool
	at                  time.Time
	detaching           bool
	gone                time.Time // when detaching ends
}

//go:embed instance-limits.csv
var limitsCSV string

// New makes the region of a topology; its instances run with their primary ENI.
func New(t topology.Topology) (*Sim, error) {
	s := &Sim{
		topo: t, cidrs: slices.Clone(t.VPC.CIDRs), instances: map[string]*instance{}, names: map[string]*instance{}, enis: map[string]*eni{}, carries: map[string]map[string]*eni{},
		subnets: map[string]*subnet{}, tokens: map[string]token{}, associations: map[string]*association{},
	}
	var err error
	if s.limits, err = parseLimits(limitsCSV); err != nil {
		return nil, err
	}
	for _, sn := range t.Subnets {
		s.subnets[sn.ID] = &subnet{
			Subnet: sn, used: map[netip.Addr]string{}, next: sn.CIDR.Addr(),
			pinned: slices.Clone(t.NextAddresses[sn.ID]),
		}
	}
	for _, i := range t.Instances {
		if err := s.boot(i); err != nil {
			return nil, err
		}
	}
	for _, sv := range t.Services {
		e := s.newENI(s.subnets[sv.Subnet], sv.IP)
		e.groups, e.requester, e.host, e.description = sv.Groups, "vpce", sv.Name, "VPC Endpoint Interface"
	}
	for _, n := range t.NATGateways {
		e := s.newENI(s.subnets[n.Subnet], n.IP)
		e.kind, e.requester, e.host, e.description = kindNAT, "nat", n.Name, "Interface for NAT Gateway "+n.Name
		e.public, e.sourceDestCheck = n.PublicIP, false
	}
	s.imds.record(s, time.Now())
	s.throttle.set(t.Throttling)
	s.past.begin(s)
	return s, nil
}

func (s *Sim) boot(i topology.Instance) error {
	if _, ok := s.limits[i.Type]; !ok {
		return fmt.Errorf("instance %s: type %q is not in the table of limits", i.Name, i.Type)
	}
	s.instances[i.ID] = &instance{id: i.ID, name: i.Name, kind: i.Type, az: s.subnets[i.Subnet].AZ, public: i.PublicIP}
	s.names[i.Name] = s.instances[i.ID]
	e := s.newENI(s.subnets[i.Subnet], i.IP)
	e.groups = slices.Clone(i.Groups)
	s.attach(e, &attachment{id: s.id("eni-attach-"), instance: i.ID, deleteOnTermination: true, at: time.Now()})
	return nil
}

// OnChange sets the hook that makes the network what EC2 says. It runs before
// the call that changed something is answered, under the model's lock.
func (s *Sim) OnChange(f func(network.VPC) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onChange = f
}

// changed tells the fabric and IMDS; the caller holds the lock.
func (s *Sim) changed() error {
	s.imds.record(s, time.Now())
	if s.onChange == nil {
		return nil
	}
	if err := s.onChange(s.network()); err != nil {
		return &apiError{"InternalError", "the fabric did not follow: " + err.Error(), 500}
	}
	return nil
}

// attach and loosen keep the index of attachments; the caller holds the lock.
func (s *Sim) attach(e *eni, a *attachment) {
	e.attachment = a
	if s.carries[a.instance] == nil {
		s.carries[a.instance] = map[string]*eni{}
	}
	s.carries[a.instance][e.id] = e
}

func (s *Sim) loosen(e *eni) {
	if e.attachment == nil {
		return
	}
	if e.attachment.detaching {
		s.detaching--
	}
	delete(s.carries[e.attachment.instance], e.id)
	e.attachment = nil
}

// SetCIDRs replaces the VPC's CIDRs, as AssociateVpcCidrBlock and its opposite
// do; neither takes away a CIDR that has a subnet.
func (s *Sim) SetCIDRs(cidrs []netip.Prefix) error {
	if err := topology.CheckCIDRs(cidrs); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sn := range s.topo.Subnets {
		if !topology.Inside(cidrs, sn.CIDR) {
			return fmt.Errorf("subnet %s (%s) would lie in no CIDR of the VPC", sn.ID, sn.CIDR)
		}
	}
	s.cidrs = slices.Clone(cidrs)
	return s.changed()
}

// id makes a fresh EC2 id: prefix and 17 hex digits.
func (s *Sim) id(prefix string) string {
	s.serial++
	return fmt.Sprintf("%s0%016x", prefix, s.serial)
}

// newENI takes the primary address, which must be free.
func (s *Sim) newENI(sn *subnet, primary netip.Addr) *eni {
	e := &eni{
		id: s.id("eni-"), subnet: sn.ID, primary: primary, kind: kindInterface, tags: map[string]string{}, sourceDestCheck: true,
	}
	// 02: locally administered, so that no MAC of the simulation is anybody's real one.
	e.mac = fmt.Sprintf("02:%02x:%02x:%02x:%02x:%02x", s.serial>>32&0xff, s.serial>>24&0xff, s.serial>>16&0xff, s.serial>>8&0xff, s.serial&0xff)
	sn.used[primary] = e.id
	s.enis[e.id] = e
	return e
}

func parseLimits(text string) (map[string]Limits, error) {
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("reading the instance limits: %w", err)
	}
	limits := map[string]Limits{}
	for _, row := range rows[1:] {
		var n [3]int
		for i, col := range []int{1, 2, 4} {
			if n[i], err = strconv.Atoi(row[col]); err != nil {
				return nil, fmt.Errorf("reading the instance limits of %s: %w", row[0], err)
			}
		}
		limits[row[0]] = Limits{ENIs: n[0], IPv4PerENI: n[1], Hypervisor: row[3], Branches: n[2]}
	}
	return limits, nil
}

// InstanceTypes is the table of limits by instance type.
func (s *Sim) InstanceTypes() map[string]Limits { return s.limits }
