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
	l := listeners{errs: make(chan error, 3+len(s.topo.External))}
	errs := []error{
		l.serve(s.dir.Router(), "tcp4", fabric.IMDSAddr+":80", s.imds()),
		l.serve(s.dir.Router(), "tcp4", fmt.Sprintf("%s:%d", fabric.EC2Addr, fabric.EC2Port), s.sim.Handler()),
	}
	for _, e := range s.topo.External {
		if e.HTTP {
			errs = append(errs, l.serve(s.dir.Net(e.Name), "tcp4", netip.AddrPortFrom(e.IP, 80).String(), http.HandlerFunc(hello)))
		}
	}
	// Last: whoever can connect here finds a complete simulation.
	errs = append(errs, l.serve("", "unix", Socket(s.dir), s.control()))
	err := errors.Join(errs...)
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

// serve listens in a network namespace, or in the process's own if ns is empty.
func (l *listeners) serve(ns, network, addr string, h http.Handler) error {
	var ln net.Listener
	open := func() (err error) {
		ln, err = net.Listen(network, addr)
		return err
	}
	in := func(f func() error) error { return netns.Do(ns, f) }
	if ns == "" {
		in = func(f func() error) error { return f() }
	}
	if err := in(open); err != nil {
		return fmt.Errorf("listening on %s: %w", addr, err)
	}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	l.servers = append(l.servers, srv)
	go func() { l.errs <- srv.Serve(ln) }()
	return nil
}
