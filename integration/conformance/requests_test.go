package conformance

import (
	"cmp"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
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
		// strace knows the words for sockets of the namespace that it is in itself, and prints numbers for those in the pod's.
		words := map[string]string{
			"0x10": "RTM_NEWLINK", "0x11": "RTM_DELLINK", "0x14": "RTM_NEWADDR", "0x15": "RTM_DELADDR", "0x18": "RTM_NEWROUTE", "0x19": "RTM_DELROUTE",
			"0x1c": "RTM_NEWNEIGH", "0x1d": "RTM_DELNEIGH", "0x20": "RTM_NEWRULE", "0x21": "RTM_DELRULE",
			"0x12": "RTM_GETLINK", "0x16": "RTM_GETADDR", "0x1a": "RTM_GETROUTE", "0x1e": "RTM_GETNEIGH", "0x22": "RTM_GETRULE",
		}
		changes = map[string]int{}
		for _, m := range regexp.MustCompile(`nlmsg_type=(\w+)[^,]*, nlmsg_flags=([^,]+),`).FindAllStringSubmatch(string(raw), -1) {
			kind, flags := cmp.Or(words[m[1]], m[1]), m[2]
			if !strings.HasPrefix(kind, "RTM_GET") {
				changes[kind]++
			} else if strings.Contains(flags, "NLM_F_DUMP") || strings.Contains(flags, "0x300") {
				dumps++
			}
		}
		return changes, dumps, strings.Count(string(raw), "execve(") - 1 // the plugin itself
	}
	for _, tt := range []struct {
		verb string
		most map[string]int
	}{
		// The pair; the pod's end up; the host's end up with its alias. 169.254.1.1, the way out by it, the node's route to the pod.
		{"ADD", map[string]int{"RTM_NEWLINK": 3, "RTM_NEWADDR": 1, "RTM_NEWNEIGH": 1, "RTM_NEWROUTE": 3, "RTM_NEWRULE": 1}},
		{"DEL", map[string]int{"RTM_DELLINK": 1}},
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
