package server

import (
	"errors"
	"net/http"
	"time"

	"github.com/vpcchain/vpcchain/integration/vpcsim/ec2"
	"github.com/vpcchain/vpcchain/integration/vpcsim/fabric"
	"github.com/vpcchain/vpcchain/integration/vpcsim/instance"
	"github.com/vpcchain/vpcchain/integration/vpcsim/network"
	"github.com/vpcchain/vpcchain/integration/vpcsim/topology"
)

// packets is what carries them: the fabric, or nothing.
type packets interface {
	Apply(v network.VPC) error
	SetLinkDelay(d time.Duration)
	Refused() ([]fabric.Refused, error)
	ResetRefused() error
	Close()
}

// nothing carries no packets and refuses none.
type nothing struct{}

func (nothing) Apply(network.VPC) error            { return nil }
func (nothing) SetLinkDelay(time.Duration)         {}
func (nothing) Refused() ([]fabric.Refused, error) { return []fabric.Refused{}, nil }
func (nothing) ResetRefused() error                { return nil }
func (nothing) Close()                             {}

// NewWithoutFabric makes EC2 and IMDS alone, which needs no root. IMDS cannot
// tell its clients apart by their address then: each instance has its own port.
func NewWithoutFabric(dir instance.Dir, topo topology.Topology) (*Server, error) {
	sim, err := ec2.New(topo)
	if err != nil {
		return nil, err
	}
	none := func() []string { return []string{} }
	return &Server{dir: dir, topo: topo, sim: sim, fabric: nothing{}, plain: true, problems: none}, nil
}

// Endpoints is where the APIs are.
type Endpoints struct {
	EC2  string            `json:"ec2"`
	IMDS map[string]string `json:"imds"` // by instance
}

// loopback is a free port for programs of this machine alone.
const loopback = "127.0.0.1:0"

// servePlain opens the ports of a simulation without fabric.
func (s *Server) servePlain(l *listeners) error {
	addr, err := l.open("", "tcp4", loopback, s.sim.Handler())
	errs := []error{err}
	s.endpoints = Endpoints{EC2: "http://" + addr, IMDS: map[string]string{}}
	for _, in := range s.topo.Instances {
		addr, err := l.open("", "tcp4", loopback, s.sim.IMDS(func(*http.Request) (string, bool) { return in.Name, true }))
		errs = append(errs, err)
		s.endpoints.IMDS[in.Name] = "http://" + addr
	}
	return errors.Join(errs...)
}

// Environment is what a program on an instance needs to find the simulated AWS.
func Environment(e Endpoints, region, host string) []string {
	env := []string{
		"AWS_ENDPOINT_URL_EC2=" + e.EC2, "AWS_REGION=" + region, "AWS_ACCESS_KEY_ID=AKIASIMULATED", "AWS_SECRET_ACCESS_KEY=simulated",
		"VPCSIM_HOST=" + host,
	}
	if imds, ok := e.IMDS[host]; ok {
		env = append(env, "AWS_EC2_METADATA_SERVICE_ENDPOINT="+imds)
	}
	return env
}
