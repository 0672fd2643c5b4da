package branches

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/vpcchain/vpcchain/integration/vpcsim/capture"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// explained is what is compared of `vpcctl explain --json`.
type explained struct {
	Verdict struct {
		Outcome, Link, Why string
		Source             netip.Addr
	}
}

// explains compares what vpcctl says of connections of branch pods, and to them
// from the node, from a pod beside them and from outside, with what the links of
// node-a carry.
func (s *scene) explains(t *testing.T) {
	t.Helper()
	links := map[string]netip.Addr{"eth0": {}, s.red.link: {}, s.blue.link: {}, s.red.veth: s.red.addr, s.blue.veth: s.blue.addr, s.plain.veth: s.plain.addr}
	for _, c := range []struct {
		from, to string
		port     port
	}{
		{"red", "far", port{"tcp", 8080}},
		{"red", "plain", port{"tcp", 8080}},
		{"red", "web", port{"tcp", 8080}},
		{"blue", "red", port{"tcp", 8080}},
		{"plain", "red", port{"tcp", 8443}},
		{"node-a", "red", port{"tcp", 8443}},
		{"onprem", "red", port{"udp", 5353}},
		{"far", "blue", port{"udp", 5353}},
	} {
		from, to := s.end(c.from), s.end(c.to)
		name := fmt.Sprintf("%s: %s to %s %s", s.mode, c.from, c.to, c.port)
		out, err := s.Exec(t.Context(), "node-a", s.Bin("vpcctl"), "explain", "--json", from.addr.String(), to.addr.String(), fmt.Sprint(c.port.number))
		var e explained
		if jerr := json.Unmarshal([]byte(out), &e); err != nil || jerr != nil {
			t.Errorf("%s: %v, %v\n%s", name, err, jerr, out)
			continue
		}
		v := e.Verdict
		delivered, left := s.carried(t, links, from, to, c.port)
		want := v.Link + " from " + v.Source.String()
		switch v.Outcome {
		case "to pod":
			if delivered != want || len(left) > 0 {
				t.Errorf("%s: explained %s %s (%s), captured %q, and on their way out %q", name, v.Outcome, want, v.Why, delivered, left)
			}
		case "leaves": // it may come back by the VPC
			if !slices.Equal(left, []string{want}) {
				t.Errorf("%s: explained %s %s (%s), captured %q", name, v.Outcome, want, v.Why, left)
			}
		default:
			t.Errorf("%s: explained %s (%s)", name, v.Outcome, v.Why)
		}
	}
}

// carried is by which of node-a's links, and with which source, the connection
// reached a pod, and left.
func (s *scene) carried(t *testing.T, links map[string]netip.Addr, from, to *end, p port) (delivered string, left []string) {
	t.Helper()
	packets := map[string][]capture.Packet{}
	run := func() {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if _, err := from.talk(ctx, to.addr, p); err != nil {
			t.Errorf("%s to %s %s: %v", from.name, to.name, p, err)
		}
	}
	for _, link := range slices.Sorted(maps.Keys(links)) {
		inner := run
		run = func() { packets[link] = s.a.captured(t, link, "host "+to.addr.String(), inner) }
	}
	run()
	seen := map[string]bool{}
	for link, list := range packets {
		mac, err := s.Exec(t.Context(), "node-a", "cat", "/sys/class/net/"+link+"/address")
		must(t, err)
		pod := links[link]
		for _, x := range list {
			if x.Dest != netip.AddrPortFrom(to.addr, p.number) {
				continue
			}
			what := link + " from " + x.Source.Addr().String()
			switch {
			case pod == to.addr:
				delivered = what
			case !pod.IsValid() && x.SrcMAC == strings.TrimSpace(mac):
				seen[what] = true
			}
		}
	}
	return delivered, slices.Sorted(maps.Keys(seen))
}

// damaged: with the daemon of node-a dead, what a branch has lost is found by the
// state file and repaired.
func (s *scene) damaged(t *testing.T) {
	t.Helper()
	check := func(args ...string) (out string, code int) {
		t.Helper()
		out, err := s.Exec(t.Context(), "node-a", append([]string{s.Bin("vpcctl"), "check"}, args...)...)
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			return out, exit.ExitCode()
		}
		must(t, err)
		return out, 0
	}
	if out, code := check(); code != 0 {
		t.Errorf("%s: a whole node, %d:\n%s", s.mode, code, out)
	}
	vlan, _ := vpcnet.ParseBranchLink(s.red.link)
	_, err := s.Exec(t.Context(), "node-a", "ip", "route", "del", "default", "table", fmt.Sprint(vpcnet.TableBranch(vlan)))
	must(t, err)
	if out, code := check(); code != 1 || !strings.Contains(out, "branch "+s.red.link) {
		t.Errorf("%s: without its default route, %d:\n%s", s.mode, code, out)
	}
	if out, code := check("--fix"); code != 0 || !strings.Contains(out, "fixed:") {
		t.Errorf("%s: --fix, %d:\n%s", s.mode, code, out)
	}
}
