package branches

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"

	"github.com/vpcchain/vpcchain/pkg/nodefacts"
)

// scene is the nodes, and the pods of one mode on them.
type scene struct {
	*world
	a, b *host
	mode string
	base []bare

	red, blue, plain, far *pod
	hosts, ends           []*end
}

func (s *scene) env(more ...string) []string {
	return append([]string{"POD_SECURITY_GROUP_ENFORCING_MODE=" + s.mode, "BRANCH_ENI_COOLDOWN=1"}, more...)
}

// restart lets the daemons run in the mode. Pods stay as they are.
func (s *scene) restart(t *testing.T, mode string) {
	t.Helper()
	s.mode = mode
	for _, h := range []*host{s.a, s.b} {
		h.kill()
		if h == s.a {
			s.damaged(t)
		}
		h.boot(t, s.env()...)
		eventually(t, patience, func() error {
			f, err := h.facts()
			if err == nil && string(f["enforcingMode"]) != `"`+mode+`"` {
				err = fmt.Errorf("the node facts of %s have mode %s", h.name, f["enforcingMode"])
			}
			return err
		})
	}
}

// populate makes the pods.
func (s *scene) populate(t *testing.T) {
	t.Helper()
	s.red = s.a.run(t, "red-"+s.mode, asking("sg-red", "sg-red-probes"))
	s.blue = s.a.run(t, "blue-"+s.mode, asking("sg-blue"))
	s.plain = s.a.run(t, "plain-"+s.mode, nil)
	s.far = s.b.run(t, "far-"+s.mode, asking("sg-far"))
	if s.red.link == "" || s.blue.link == "" || s.far.link == "" || s.plain.link != "" {
		t.Fatalf("branches %q, %q, %q, and %q of a pod without", s.red.link, s.blue.link, s.far.link, s.plain.link)
	}
	if s.hosts == nil {
		s.hosts = []*end{s.hostEnd("node-a", "sg-nodes"), s.hostEnd("onprem"), s.hostEnd("web")}
		for _, e := range s.hosts {
			e.serve(t)
		}
	}
	pods := []*end{
		s.podEnd("red", s.red, "sg-red", "sg-red-probes"), s.podEnd("blue", s.blue, "sg-blue"), s.podEnd("plain", s.plain, "sg-nodes"),
		s.podEnd("far", s.far, "sg-far"),
	}
	for _, e := range pods {
		e.serve(t)
	}
	s.ends = append(pods, s.hosts...)
}

func (s *scene) podEnd(name string, p *pod, groups ...string) *end {
	return &end{name: name, addr: p.addr, enter: p.enter, groups: groups, node: p.host.name, branch: p.link != ""}
}

func (s *scene) hostEnd(name string, groups ...string) *end {
	e := &end{name: name, enter: s.host(name).enter, groups: groups}
	for _, i := range s.topo.Instances {
		if i.Name == name {
			e.addr, e.node = i.IP, name
		}
	}
	for _, x := range s.topo.External {
		if x.Name == name {
			e.addr = x.IP
		}
	}
	return e
}

func (s *scene) end(name string) *end {
	i := slices.IndexFunc(s.ends, func(e *end) bool { return e.name == name })
	return s.ends[i]
}

// pods of the scene in the order in which they were made.
func (s *scene) pods() []*pod { return []*pod{s.red, s.blue, s.plain, s.far} }

// pair is a sender, a receiver and what the groups say.
type pair struct {
	attempt
	to   *end
	want bool
}

// matrix lets everybody talk to everybody on every port at the same time.
func (s *scene) matrix(t *testing.T) []*pair {
	t.Helper()
	var all []*pair
	var list []*attempt
	for _, from := range s.ends {
		for _, to := range s.ends {
			if from == to || from.name == "web" || to.name == "web" {
				continue
			}
			for _, p := range ports() {
				x := &pair{to: to, want: verdict(s.topo.SecurityGroups, s.mode, from, to, p, []string{"sg-nodes"})}
				x.attempt = attempt{from: from, to: to.addr, port: p, as: s.source(from, to)}
				all, list = append(all, x), append(list, &x.attempt)
			}
		}
	}
	s.talks(t, list)
	return all
}

// source is the address that a packet must arrive with: what leaves the VPC from a
// pod whose mode leaves that to the node has the node's.
func (s *scene) source(from, to *end) netip.Addr {
	if to.groups != nil || from.node == "" || from.branch && s.mode == nodefacts.ModeStrict {
		return from.addr
	}
	return s.hostEnd(from.node).addr
}

// judge compares the matrix with the groups, and prints it.
func (s *scene) judge(t *testing.T) {
	t.Helper()
	allowed, remembered, all := 0, 0, s.matrix(t)
	for _, x := range all {
		if x.want != (x.err == nil) || !x.want && !strings.Contains(x.reason, "security group") {
			t.Errorf("%s: %s to %s %s: the groups say %v, seen %v; the VPC says %q", s.mode, x.from.name, x.to.name, x.port, x.want, x.err, x.reason)
		}
		if x.err == nil && x.source != x.as {
			t.Errorf("%s: %s to %s %s arrives from %s, want %s", s.mode, x.from.name, x.to.name, x.port, x.source, x.as)
		}
		if x.err == nil {
			allowed++
			// Answers pass though no rule lets such packets out: flows are remembered.
			if !verdict(s.topo.SecurityGroups, s.mode, x.to, x.from, port{x.port.proto, 40000}, []string{"sg-nodes"}) {
				remembered++
			}
		}
	}
	t.Logf("%s mode: %d of %d first packets pass, %d of them with answers that no rule allows:\n%s", s.mode, allowed, len(all), remembered, table(all))
	if allowed == 0 || allowed == len(all) || remembered == 0 {
		t.Error("the groups decide nothing, or remember nothing")
	}
}

// table has a line for each sender and a column for each receiver: the ports that
// pass, by their last digits.
func table(all []*pair) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	var names []string
	passes := map[[2]string][]string{}
	for _, x := range all {
		if !slices.Contains(names, x.from.name) {
			names = append(names, x.from.name)
		}
		if x.err == nil {
			key := [2]string{x.from.name, x.to.name}
			passes[key] = append(passes[key], fmt.Sprint(x.port.number))
		}
	}
	fmt.Fprintf(w, "from \\ to\t%s\n", strings.Join(names, "\t"))
	for _, from := range names {
		fmt.Fprint(w, from)
		for _, to := range names {
			cell := strings.Join(passes[[2]string{from, to}], " ")
			switch {
			case from == to:
				cell = "·"
			case cell == "":
				cell = "–"
			}
			fmt.Fprint(w, "\t", cell)
		}
		fmt.Fprintln(w)
	}
	_ = w.Flush()
	return b.String()
}
