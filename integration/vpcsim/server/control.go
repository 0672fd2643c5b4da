package server

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/vpcchain/vpcchain/integration/vpcsim/ec2"
	"github.com/vpcchain/vpcchain/integration/vpcsim/instance"
	"github.com/vpcchain/vpcchain/integration/vpcsim/topology"
)

// control is the API of the command line: JSON in, JSON out.
func (s *Server) control() http.Handler {
	mux := http.NewServeMux()
	answer := func(pattern string, f func(*http.Request) (any, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			v, err := f(r)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(v)
		})
	}
	answer("GET /topology", func(*http.Request) (any, error) {
		topo := s.topo
		topo.Conditions = s.sim.Conditions()
		return topo, nil
	})
	answer("GET /endpoints", func(*http.Request) (any, error) { return s.endpoints, nil })
	answer("GET /network", func(*http.Request) (any, error) { return s.sim.Network(), nil })
	answer("GET /enis", func(*http.Request) (any, error) { return s.sim.Interfaces(), nil })
	answer("GET /problems", func(*http.Request) (any, error) { return s.problems(), nil })
	answer("GET /calls", func(*http.Request) (any, error) { return s.sim.Calls(), nil })
	answer("DELETE /calls", func(*http.Request) (any, error) { s.sim.ResetCalls(); return struct{}{}, nil })
	answer("GET /drops", func(*http.Request) (any, error) { return s.fabric.Refused() })
	answer("DELETE /drops", func(*http.Request) (any, error) { return struct{}{}, s.fabric.ResetRefused() })
	s.disturb(answer)
	answer("PUT /cidrs", func(r *http.Request) (any, error) {
		var cidrs []netip.Prefix
		if err := json.NewDecoder(r.Body).Decode(&cidrs); err != nil {
			return nil, err
		}
		if len(cidrs) == 0 {
			return nil, fmt.Errorf("a VPC has at least its primary CIDR")
		}
		return struct{}{}, s.sim.SetCIDRs(cidrs)
	})
	return mux
}

// disturb answers what makes the simulated AWS behave badly.
func (s *Server) disturb(answer func(string, func(*http.Request) (any, error))) {
	answer("GET /faults", func(*http.Request) (any, error) { return s.sim.Faults(), nil })
	answer("DELETE /faults", func(*http.Request) (any, error) { s.sim.ClearFaults(); return struct{}{}, nil })
	answer("PUT /faults", func(r *http.Request) (any, error) {
		var f ec2.Fault
		if err := json.NewDecoder(r.Body).Decode(&f); err != nil {
			return nil, err
		}
		if f.Action == "" {
			return nil, fmt.Errorf("a fault needs an action")
		}
		s.sim.Fault(f)
		return struct{}{}, nil
	})
	answer("PUT /conditions", func(r *http.Request) (any, error) {
		var c topology.Conditions
		if err := json.NewDecoder(r.Body).Decode(&c); err != nil {
			return nil, err
		}
		if err := s.sim.SetConditions(c); err != nil {
			return nil, err
		}
		s.fabric.SetLinkDelay(time.Duration(c.LinkDelay))
		return struct{}{}, nil
	})
	answer("POST /enis/{id}/detach", func(r *http.Request) (any, error) { return struct{}{}, s.sim.Detach(r.PathValue("id")) })
	answer("DELETE /enis/{id}", func(r *http.Request) (any, error) { return struct{}{}, s.sim.Delete(r.PathValue("id")) })
}

// Call sends a request to the simulation in dir and decodes its answer into v.
func Call(ctx context.Context, dir instance.Dir, method, path string, body, v any) error {
	client := http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", Socket(dir))
		},
		DisableKeepAlives: true,
	}}
	var in io.Reader = http.NoBody
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return err
		}
		in = bytes.NewReader(raw)
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://vpcsim"+path, in)
	if err != nil {
		return err
	}
	resp, err := client.Do(r)
	if err != nil {
		return fmt.Errorf("talking to the simulation: %w: is it up? `vpcsim up` starts it", err)
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %s", method, path, bytes.TrimSpace(raw))
	}
	if v == nil {
		return nil
	}
	return json.Unmarshal(raw, v)
}
