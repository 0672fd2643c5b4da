package ec2

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// imdsHistory keeps the trees of the recent past, so that IMDS can show an
// older one than EC2 does.
type imdsHistory struct {
	states []imdsState
}

type imdsState struct {
	at    time.Time
	trees map[string]map[string]string // by instance name: path -> text
}

func (h *imdsHistory) record(s *Sim, now time.Time) {
	if s.topo.IMDSLag == 0 {
		h.states = nil // the present is read when it is asked for
		return
	}
	st := imdsState{now, map[string]map[string]string{}}
	for _, in := range s.instances {
		st.trees[in.name] = s.tree(in)
	}
	h.states = append(h.states, st)
	// What is older than the lag and superseded is never shown again.
	for len(h.states) > 1 && now.Sub(h.states[1].at) >= time.Duration(s.topo.IMDSLag) {
		h.states = h.states[1:]
	}
}

// view is the tree of the instance with the name as IMDS shows it; the caller
// holds the lock.
func (s *Sim) view(instance string, now time.Time) map[string]string {
	h, lag := &s.imds, time.Duration(s.topo.IMDSLag)
	if len(h.states) == 0 {
		if in := s.names[instance]; in != nil {
			return s.tree(in)
		}
		return nil
	}
	i := len(h.states) - 1
	for i > 0 && now.Sub(h.states[i].at) < lag {
		i--
	}
	return h.states[i].trees[instance]
}

// tree is the meta-data of an instance: path -> text. Directories are derived.
func (s *Sim) tree(in *instance) map[string]string {
	t := map[string]string{
		"meta-data/instance-id": in.id, "meta-data/instance-type": in.kind, "meta-data/placement/region": s.topo.Region,
		"meta-data/placement/availability-zone": in.az, "meta-data/services/domain": "amazonaws.com", "meta-data/services/partition": "aws",
		"dynamic/instance-identity/document": fmt.Sprintf(
			`{"instanceId":%q,"instanceType":%q,"region":%q,"availabilityZone":%q,"accountId":%q}`, in.id, in.kind, s.topo.Region, in.az, owner),
	}
	for _, e := range s.attached(in.id) {
		if e.attachment.detaching {
			continue
		}
		base := "meta-data/network/interfaces/macs/" + e.mac + "/"
		if e.attachment.device == 0 && e.attachment.card == 0 {
			t["meta-data/mac"], t["meta-data/local-ipv4"] = e.mac, e.primary.String()
			if in.public.IsValid() {
				t["meta-data/public-ipv4"] = in.public.String()
			}
		}
		for key, v := range map[string]string{
			"mac": e.mac, "interface-id": e.id, "device-number": strconv.Itoa(e.attachment.device), "owner-id": owner,
			"subnet-id": e.subnet, "subnet-ipv4-cidr-block": s.subnets[e.subnet].CIDR.String(), "vpc-id": s.topo.VPC.ID,
			"vpc-ipv4-cidr-block": s.cidrs[0].String(), "vpc-ipv4-cidr-blocks": lines(s.cidrs),
			"security-group-ids": strings.Join(e.groups, "\n"), "local-ipv4s": lines(append([]netip.Addr{e.primary}, e.addrs...)),
		} {
			t[base+key] = v
		}
		// Absent keys are 404, as in the real service: no prefix, card 0.
		if len(e.prefixes) > 0 {
			t[base+"ipv4-prefix"] = lines(e.prefixes)
		}
		if e.attachment.card > 0 {
			t[base+"network-card"] = strconv.Itoa(e.attachment.card)
		}
	}
	return t
}

func lines[T fmt.Stringer](values []T) string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = v.String()
	}
	return strings.Join(out, "\n")
}

// IMDS serves the instance metadata service, version 2 only: every read needs
// a token from PUT /latest/api/token. The instance is found by the request's
// source address, as who answers on the link-local address would.
func (s *Sim) IMDS(instanceOf func(*http.Request) (name string, ok bool)) http.Handler {
	return &imdsServer{sim: s, instanceOf: instanceOf, tokens: map[string]time.Time{}}
}

// InstanceByAddr names the instance whose ENI has the address.
func (s *Sim) InstanceByAddr(a netip.Addr) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.enis {
		if e.attachment == nil || e.attachment.detaching {
			continue
		}
		mine := e.primary == a || slices.Contains(e.addrs, a) ||
			slices.ContainsFunc(e.prefixes, func(p netip.Prefix) bool { return p.Contains(a) })
		if mine {
			return s.instances[e.attachment.instance].name, true
		}
	}
	return "", false
}

type imdsServer struct {
	sim        *Sim
	instanceOf func(*http.Request) (string, bool)
	mu         sync.Mutex
	tokens     map[string]time.Time // token -> end of its life
}

const (
	ttlHeader   = "X-Aws-Ec2-Metadata-Token-Ttl-Seconds"
	tokenHeader = "X-Aws-Ec2-Metadata-Token" //nolint:gosec // the name of a header
	maxTTL      = 21600                      // seconds
)

func (m *imdsServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f := m.sim.faults.next(IMDSFault)
	if pause(r.Context(), f.Latency) != nil {
		return
	}
	if f.Code != "" || f.Lost {
		http.Error(w, f.Code, http.StatusServiceUnavailable)
		return
	}
	name, ok := m.instanceOf(r)
	if !ok {
		http.Error(w, "no instance has this source address", http.StatusForbidden)
		return
	}
	if r.URL.Path == "/latest/api/token" {
		m.token(w, r)
		return
	}
	if r.Method != http.MethodGet {
		http.Error(w, "", http.StatusMethodNotAllowed)
		return
	}
	if !m.valid(r.Header.Get(tokenHeader)) {
		http.Error(w, "", http.StatusUnauthorized)
		return
	}
	path, ok := strings.CutPrefix(r.URL.Path, "/latest/")
	text, found := m.lookup(name, path)
	if !ok || !found {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	_, _ = w.Write([]byte(text))
}

func (m *imdsServer) token(w http.ResponseWriter, r *http.Request) {
	ttl, err := strconv.Atoi(r.Header.Get(ttlHeader))
	if r.Method != http.MethodPut || err != nil || ttl < 1 || ttl > maxTTL {
		http.Error(w, "", http.StatusBadRequest)
		return
	}
	tok := strconv.FormatUint(rand.Uint64(), 36) //nolint:gosec // guards nothing but a simulation
	m.mu.Lock()
	m.tokens[tok] = time.Now().Add(time.Duration(ttl) * time.Second)
	m.mu.Unlock()
	w.Header().Set(ttlHeader, strconv.Itoa(ttl))
	_, _ = w.Write([]byte(tok))
}

func (m *imdsServer) valid(tok string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	end, ok := m.tokens[tok]
	return ok && time.Now().Before(end)
}

// lookup finds a leaf, or lists a directory: subdirectories end in a slash.
func (m *imdsServer) lookup(instance, path string) (string, bool) {
	m.sim.mu.Lock()
	tree := m.sim.view(instance, time.Now())
	m.sim.mu.Unlock()
	if text, ok := tree[path]; ok {
		return text, true
	}
	dir := strings.TrimSuffix(path, "/") + "/"
	if dir == "/" {
		dir = ""
	}
	var names []string
	for p := range tree {
		rest, ok := strings.CutPrefix(p, dir)
		if !ok {
			continue
		}
		if head, _, deeper := strings.Cut(rest, "/"); deeper {
			rest = head + "/"
		}
		names = append(names, rest)
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), "\n"), len(names) > 0
}
