package conformance

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
)

// What vpc-veth asks of the kernel is what its plan says: one request for each
// object, no list of all that there is, no program executed. Each request waits
// for the lock that all of the node's links share; a list is as long as the node
// has pods. How often it looks whether the link has a carrier depends on the
// machine, so looks at single links are not counted.
func TestVethRequests(t *testing.T) {
	h, pod := newHost(t), newNetns(t)
	h.ok(add("1.1.0", "first", newNetns(t), fromIPAM(t, "10.20.11.7/32"))) // rule 512 is there
	a := add("1.1.0", "c1", pod, fromIPAM(t, "10.20.11.8/32"))
	a.args = "K8S_POD_NAMESPACE=default;K8S_POD_NAME=second"
	requests := func(c call) (changes map[string]int, dumps, programs int) {
		log := filepath.Join(t.TempDir(), "strace")
		c.wrap = []string{"strace", "-f", "-qq", "-s", "1024", "-e", "trace=sendto,sendmsg,execve", "-o", log}
		h.ok(c)
		raw, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		changes = map[string]int{}
		for _, m := range regexp.MustCompile(`send(?:to|msg)\(.*?nlmsg_type=RTM_((?:NEW|DEL|SET)[A-Z]+)`).FindAllStringSubmatch(string(raw), -1) {
			changes[m[1]]++
		}
		count := func(pattern string) int { return len(regexp.MustCompile(pattern).FindAll(raw, -1)) }
		return changes, count(`NLM_F_DUMP`), count(`(?m)^\d+ +execve\(`) - 1 // the plugin itself
	}
	for _, tt := range []struct {
		verb string
		most map[string]int
	}{
		// The pair; the pod's end up; the host's end up with its alias. 169.254.1.1, the way out by it, the node's route to the pod.
		{"ADD", map[string]int{"NEWLINK": 3, "NEWADDR": 1, "NEWNEIGH": 1, "NEWROUTE": 3, "NEWRULE": 1}},
		{"DEL", map[string]int{"DELLINK": 1}},
	} {
		changes, dumps, programs := requests(a.as(tt.verb, a.prev))
		if len(changes) == 0 {
			t.Fatalf("%s: strace saw no change", tt.verb)
		}
		for _, kind := range slices.Sorted(maps.Keys(changes)) {
			if changes[kind] > tt.most[kind] {
				t.Errorf("%s makes %d requests %s, more than %d", tt.verb, changes[kind], kind, tt.most[kind])
			}
		}
		if dumps != 0 || programs != 0 {
			t.Errorf("%s asks for %d lists and executes %d programs", tt.verb, dumps, programs)
		}
	}
}
