package runtimes

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"
)

// limit is the limit of a pod's traffic in each direction. limitBytes is what
// the pod may get of it on a machine with other work to do.
const (
	limit      = 16_000_000 // bit/s
	limitBytes = limit / 8.0
	least      = 0.4 * limitBytes
	most       = 1.5 * limitBytes
)

// halves is what `probe drink` prints.
type halves struct{ First, Second float64 }

// testBandwidth measures both directions of a pod with limits, and of one
// without: what holds the first one back has to be the limit.
func (s *suite) testBandwidth(t *testing.T) {
	free := s.run(t, "node-a", PodSpec{Name: "free"})
	spec := PodSpec{Name: "limited"}
	if s.cri {
		spec.Annotations = map[string]string{"kubernetes.io/ingress-bandwidth": "16M", "kubernetes.io/egress-bandwidth": "16M"}
	} else {
		before := s.conflist(t, "node-a")
		list := s.conflist(t, "node-a")
		b := plugin(t, list, "bandwidth")
		b["ingressRate"], b["egressRate"], b["ingressBurst"], b["egressBurst"] = limit, limit, limit, limit
		s.setConflist(t, "node-a", list)
		defer s.setConflist(t, "node-a", before)
	}
	p := s.run(t, "node-a", spec)
	burst := s.shapers(t)

	const port = 18081
	pourer, err := s.lab.Start("node-b", nil, s.lab.Bin("probe"), "pour", fmt.Sprint(port))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = pourer.Stop(9) }()
	ways := map[string]func(Pod) halves{
		"ingress": func(p Pod) (h halves) {
			s.exec(t, "node-a", p, &h, "drink", netip.AddrPortFrom(s.addr["node-b"], port).String())
			return h
		},
		"egress": func(p Pod) (h halves) {
			out, err := s.lab.Exec(t.Context(), "node-b", s.lab.Bin("probe"), "drink", netip.AddrPortFrom(p.Addr, PourPort).String())
			if err == nil {
				err = json.Unmarshal([]byte(out), &h)
			}
			if err != nil {
				t.Fatal(err)
			}
			return h
		},
	}
	for name, measure := range ways {
		if h := measure(free); h.Second < 3*most {
			t.Errorf("%s of a pod without limits: %.1f MB/s, which tells nothing about a limit of %.1f MB/s", name, h.Second/1e6, limitBytes/1e6)
		}
		// The bucket is full at first, and a runtime may have asked for a large one.
		var h halves
		for end := time.Now().Add(40 * time.Second); ; {
			if h = measure(p); h.First <= most && h.Second <= most || time.Now().After(end) {
				break
			}
		}
		if h.Second < least || h.Second > most {
			t.Errorf("%s is %.2f MB/s, limit %.1f MB/s", name, h.Second/1e6, limitBytes/1e6)
		}
		t.Logf("%s %.2f MB/s under a limit of %.1f MB/s", name, h.Second/1e6, limitBytes/1e6)
	}
	s.remove(t, "node-a", p)
	s.remove(t, "node-a", free)
	s.clean(t, "node-a")
	how := "by the conflist's keys"
	if s.cri {
		how = "by annotations, after a burst of " + burst
	}
	s.seen[colBandwidth] = "rate held in both directions, " + how
}

// shapers finds the two token buckets of the pod with limits, one on its host
// veth and one on the link that egress is redirected to, and returns their burst.
func (s *suite) shapers(t *testing.T) string {
	t.Helper()
	out, err := s.node["node-a"].Exec(t.Context(), "tc", "-j", "qdisc", "show")
	if err != nil {
		t.Fatal(err)
	}
	var all []struct {
		Kind, Dev string
		Options   struct{ Rate, Burst uint64 }
	}
	if err := json.Unmarshal([]byte(out), &all); err != nil {
		t.Fatal(err)
	}
	all = slices.DeleteFunc(all, func(q struct {
		Kind, Dev string
		Options   struct{ Rate, Burst uint64 }
	},
	) bool {
		return q.Kind != "tbf" || q.Options.Rate != limitBytes
	})
	if len(all) != 2 || all[0].Options.Burst != all[1].Options.Burst {
		t.Fatalf("shapers of %d bit/s: %+v in\n%s", limit, all, out)
	}
	return fmt.Sprintf("%d MiB", (all[0].Options.Burst+1<<19)>>20)
}
