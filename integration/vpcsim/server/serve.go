package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/vpcchain/vpcchain/integration/vpcsim/fabric"
	"github.com/vpcchain/vpcchain/integration/vpcsim/netns"
)

// Serve answers EC2, IMDS, the hosts outside and the command line until ctx ends.
func (s *Server) Serve(ctx context.Context) error {
	l := listeners{errs: make(chan error, 3+len(s.topo.External)+len(s.topo.Instances))}
	serve := s.serveFabric
	if s.plain {
		serve = s.servePlain
	}
	err := serve(&l)
	if err == nil {
		// Last: whoever can connect here finds a complete simulation.
		_, err = l.open("", "unix", Socket(s.dir), s.control())
	}
	if err == nil {
		select {
		case <-ctx.Done():
		case err = <-l.errs:
		}
	}
	for _, srv := range l.servers {
		_ = srv.Close()
	}
	s.fabric.Close()
	return err
}

// serveFabric listens where the hosts of the simulation look.
func (s *Server) serveFabric(l *listeners) error {
	s.endpoints = Endpoints{EC2: EC2Endpoint}
	_, err := l.open(s.dir.Router(), "tcp4", fabric.IMDSAddr+":80", s.imds())
	errs := []error{err}
	_, err = l.open(s.dir.Router(), "tcp4", fmt.Sprintf("%s:%d", fabric.EC2Addr, fabric.EC2Port), s.sim.Handler())
	errs = append(errs, err)
	for _, e := range s.topo.External {
		if e.HTTP {
			_, err = l.open(s.dir.Net(e.Name), "tcp4", netip.AddrPortFrom(e.IP, 80).String(), http.HandlerFunc(hello))
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (s *Server) imds() http.Handler {
	return s.sim.IMDS(func(r *http.Request) (string, bool) {
		from, err := netip.ParseAddrPort(r.RemoteAddr)
		if err != nil {
			return "", false
		}
		return s.sim.InstanceByAddr(from.Addr().Unmap())
	})
}

// hello tells the client as whom it is seen.
func hello(w http.ResponseWriter, r *http.Request) {
	from, _ := netip.ParseAddrPort(r.RemoteAddr)
	w.Header().Set("Content-Type", "text/plain")
	_, _ = fmt.Fprintf(w, "hello %s\n", from.Addr().Unmap())
}

type listeners struct {
	servers []*http.Server
	errs    chan error // has room for every server, so that none waits at its end
}

// open serves in a network namespace, or in the process's own if ns is empty,
// and says on which address.
func (l *listeners) open(ns, network, addr string, h http.Handler) (string, error) {
	var ln net.Listener
	listen := func() (err error) {
		ln, err = net.Listen(network, addr)
		return err
	}
	in := func(f func() error) error { return netns.Do(ns, f) }
	if ns == "" {
		in = func(f func() error) error { return f() }
	}
	if err := in(listen); err != nil {
		return "", fmt.Errorf("listening on %s: %w", addr, err)
	}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	l.servers = append(l.servers, srv)
	go func() { l.errs <- srv.Serve(ln) }()
	return ln.Addr().String(), nil
}
