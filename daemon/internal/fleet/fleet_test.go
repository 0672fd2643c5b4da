package fleet

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/pool"
)

var (
	sizes    = flag.String("sizes", "10,100", "numbers of nodes, with commas between them")
	cold     = flag.Int("cold", 500, "fleets that are larger live through the cold start alone")
	reported = flag.String("report", "", "file to write the figures into, as Markdown; none if empty")
)

func TestMain(m *testing.M) {
	// The SDK reads them at the start of each daemon; nothing of the machine's may leak in.
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-west-2", "AWS_DEFAULT_REGION": "", "AWS_PROFILE": "",
		"AWS_ENDPOINT_URL": "", "AWS_ENDPOINT_URL_EC2": "", "AWS_EC2_METADATA_SERVICE_ENDPOINT": "", "AWS_EC2_METADATA_DISABLED": "", "AWS_CA_BUNDLE": "",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
	} {
		if err := os.Setenv(name, value); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// The pods of a node in the stories.
const (
	first = 30 // 150,000 on 5,000 nodes: the most that Kubernetes supports of both
	more  = 20
	fewer = 40
)

// phase is what happened in a part of a story.
type phase struct {
	what  string
	nodes int
	waits []time.Duration // of its pods, in order
	least time.Duration   // in which EC2's buckets allow what the pods need
	sums  sums
	peak  int
	calm  time.Duration // until EC2 was asked nothing any more
}

// TestFleet lets fleets live, and holds what must be so in each of them: every
// pod has an address, nobody waits many times longer than EC2's buckets make him,
// the calls that change something are those of the plan, what is refused is tried
// again by one layer, and a fleet at rest asks nothing.
func TestFleet(t *testing.T) {
	var all []phase
	for _, m := range modes() {
		for text := range strings.SplitSeq(*sizes, ",") {
			nodes, err := strconv.Atoi(text)
			if err != nil {
				t.Fatal(err)
			}
			t.Run(m.name+" "+text, func(t *testing.T) {
				live(t, m, nodes, func(w *world) {
					for _, p := range w.story(nodes <= *cold) {
						t.Log(p)
						all = append(all, p)
					}
				})
			})
		}
	}
	if *reported == "" || t.Failed() {
		return
	}
	if err := os.WriteFile(*reported, []byte(report(all)), 0o600); err != nil {
		t.Fatal(err)
	}
}

// story is the life of a cluster: all nodes start at the same moment, and each
// gets its pods; then come 20 more on each, 40 of the 50 go, and come again.
func (w *world) story(whole bool) []phase {
	out := []phase{w.grow("start", 0, first)}
	w.checkCalls(out[0], w.ideal(first+w.warm()).Calls())
	if !whole {
		return out
	}
	w.rest()
	out = append(out, w.grow("burst", first, more))
	w.rest()
	w.anew()
	w.leave(first+more-fewer, fewer)
	down := phase{what: "down " + w.name, nodes: len(w.nodes), calm: w.calm()}
	down.sums, down.peak = w.sum(), w.traffic.peak()
	out = append(out, down)
	w.rest()
	out = append(out, w.grow("again", first+more-fewer, fewer))
	w.rest()
	return out
}

// grow is pods that come to every node at one moment.
func (w *world) grow(what string, from, n int) phase {
	w.anew()
	p := phase{what: what + " " + w.name, nodes: len(w.nodes)}
	before := 0
	if what != "start" {
		before = w.free()
	}
	p.waits = w.come(from, n)
	p.calm = w.calm()
	p.sums, p.peak = w.sum(), w.traffic.peak()
	if what == "start" {
		p.least = w.least(n)
		if last := p.waits[len(p.waits)-1]; last > 3*p.least+tries {
			w.fail("the last pod has its address after %s, EC2's buckets need %s", last, p.least)
		}
	} else if before >= n && p.waits[len(p.waits)-1] > 0 {
		w.fail("%s: a pod waited %s for an address, with %d free", what, p.waits[len(p.waits)-1], before)
	}
	w.checkLayers()
	return p
}

// tries is how long a call is tried and left alone until the daemon begins anew,
// which at any size of the fleet some pod's waiting has on top.
const tries = 40 * time.Second

// free is the least that a node has ready.
func (w *world) free() int {
	var out []int
	for _, n := range w.nodes {
		s := n.e.View().Pool
		out = append(out, s.Count(pool.Free))
	}
	return slices.Min(out)
}

// rest is a while in which nothing must be asked of EC2.
func (w *world) rest() {
	before := w.requests()
	time.Sleep(10 * time.Minute)
	if n := w.requests() - before; n > 0 {
		w.fail("%d requests in 10 minutes of a fleet at rest", n)
	}
}

// checkCalls compares what changes something with the plan for a node.
func (w *world) checkCalls(p phase, plan map[string]int) {
	after := p.sums
	for api, n := range plan {
		if after.done[api] != n*p.nodes {
			w.fail("%s: %d times %s, the plan for %d nodes is %d", p.what, after.done[api], api, p.nodes, n*p.nodes)
		}
	}
	for api, n := range after.done {
		if plan[api] == 0 && !strings.HasPrefix(api, "Describe") {
			w.fail("%s: %d times %s, which the plan does not have", p.what, n, api)
		}
	}
	for api, n := range after.other {
		w.fail("%s: %s failed %d times", p.what, api, n)
	}
}

// checkLayers looks for a second layer of retries: a call that was given up is
// made anew by the daemon's spacing alone, 4 s later at least. Calls that are given
// up one after the other, with no new one in between, share the spacing of the first.
func (w *world) checkLayers() {
	for _, n := range w.nodes {
		var began time.Time // the spacing
		gaveUp, count := map[string]bool{}, map[string]int{}
		for _, a := range n.calls.snapshot() {
			if count[a.invocation]++; count[a.invocation] > 5 {
				w.fail("%s: %s was tried %d times by the SDK", n.name, a.api, count[a.invocation])
			}
			if a.api != "CreateNetworkInterface" && a.api != "AssignPrivateIpAddresses" {
				continue
			}
			if gaveUp[a.api] && !a.again && a.begin.After(began) {
				if a.begin.Sub(began) < 4*time.Second {
					w.fail("%s: %s was given up, and made again %s later", n.name, a.api, a.begin.Sub(began))
				}
				began, gaveUp = time.Time{}, map[string]bool{}
			}
			if count[a.invocation] == 5 && a.throttled {
				gaveUp[a.api] = true
				if began.IsZero() {
					began = a.end
				}
			}
		}
	}
}

func (p phase) String() string {
	last := slices.Max(append([]time.Duration{0}, p.waits...))
	return fmt.Sprintf("%s, %d nodes: p50 %s, p99 %s, last %s, least %s, calm after %s; done %v, refused %v, retries %d, peak %d/s", p.what, p.nodes,
		quantile(p.waits, 0.5), quantile(p.waits, 0.99), last, p.least, p.calm, p.sums.done, p.sums.refused, p.sums.retries, p.peak)
}

func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}
