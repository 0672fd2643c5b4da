// Package server is the process behind a running simulation: it makes the
// hosts and the fabric, serves EC2 and IMDS inside it, and answers the command
// line on a unix socket.
package server

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/vpcchain/vpcchain/integration/vpcsim/ec2"
	"github.com/vpcchain/vpcchain/integration/vpcsim/fabric"
	"github.com/vpcchain/vpcchain/integration/vpcsim/instance"
	"github.com/vpcchain/vpcchain/integration/vpcsim/netns"
	"github.com/vpcchain/vpcchain/integration/vpcsim/topology"
)

// EC2Endpoint is where instances find the EC2 API.
const EC2Endpoint = "http://" + fabric.EC2Addr + ":8080"

// Socket is the control socket of the simulation in dir.
func Socket(dir instance.Dir) string { return dir.File("control.sock") }

// Server is a running simulation.
type Server struct {
	dir    instance.Dir
	topo   topology.Topology
	sim    *ec2.Sim
	fabric packets
	plain  bool // without fabric
	// problems lists what the fabric cannot carry on this kernel.
	problems func() []string

	endpoints Endpoints
}

// New makes everything that the topology says. dir exists and is empty.
func New(dir instance.Dir, topo topology.Topology) (*Server, error) {
	s := &Server{dir: dir, topo: topo}
	hosts := hostsOf(topo)
	for host := range hosts {
		if err := instance.New(dir, host); err != nil {
			return nil, fmt.Errorf("making host %s: %w", host, err)
		}
	}
	config := fabric.Config{Namespace: dir.Router(), HostNS: dir.Net, LinkDelay: time.Duration(topo.LinkDelay), Report: report}
	for _, e := range topo.External {
		config.External = append(config.External, fabric.External{
			Name: e.Name, Gateway: e.Gateway, IP: e.IP, Internet: e.Gateway == topo.InternetGateway,
		})
	}
	net, err := fabric.New(config)
	if err != nil {
		return nil, err
	}
	s.fabric, s.problems = net, net.Problems
	if err := s.start(net, hosts); err != nil {
		net.Close()
		return nil, err
	}
	return s, nil
}

func (s *Server) start(net *fabric.Fabric, hosts map[string]host) (err error) {
	if s.sim, err = ec2.New(s.topo); err != nil {
		return err
	}
	if err := net.Apply(s.sim.Network()); err != nil {
		return err
	}
	for host, h := range hosts {
		if err := instance.Boot(s.dir, host, h.addr, h.instance); err != nil {
			return fmt.Errorf("booting host %s: %w", host, err)
		}
	}
	for _, n := range s.topo.NATGateways {
		if err := fabric.MakeNATGateway(s.dir.Net(n.Name), n.IP); err != nil {
			return fmt.Errorf("making NAT gateway %s: %w", n.Name, err)
		}
	}
	if err := net.Ready(slices.Collect(maps.Keys(hosts)), linkLimit); err != nil {
		return err
	}
	s.sim.OnChange(net.Apply)
	return nil
}

// linkLimit is how long links may take to carry packets after boot; it takes
// the kernel milliseconds.
const linkLimit = 10 * time.Second

// report writes to the server's log.
func report(err error) { fmt.Fprintln(os.Stderr, "vpcsim:", err) }

type host struct {
	addr     instance.Addr
	instance bool
}

func hostsOf(topo topology.Topology) map[string]host {
	subnets := map[string]netip.Prefix{}
	for _, s := range topo.Subnets {
		subnets[s.ID] = s.CIDR
	}
	hosts := map[string]host{}
	for _, i := range topo.Instances {
		hosts[i.Name] = host{instance.InSubnet(i.IP, subnets[i.Subnet]), true}
	}
	for _, s := range topo.Services {
		hosts[s.Name] = host{instance.InSubnet(s.IP, subnets[s.Subnet]), false}
	}
	for _, n := range topo.NATGateways {
		hosts[n.Name] = host{instance.InSubnet(n.IP, subnets[n.Subnet]), false}
	}
	for _, e := range topo.External {
		hosts[e.Name] = host{instance.Addr{Prefix: netip.PrefixFrom(e.IP, 32)}, false}
	}
	return hosts
}

// Teardown ends every process of the simulation and removes its namespaces and
// files; it needs nothing but the directory, so it works after a crash too.
func Teardown(dir instance.Dir) error {
	entries, err := os.ReadDir(dir.File("ns"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var paths []string
	for _, e := range entries {
		paths = append(paths, dir.File("ns/"+e.Name()))
	}
	return errors.Join(netns.KillMembers(paths, 10*time.Second), dir.Remove())
}
