package e2e

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/vpcchain/vpcchain/integration/lab"
)

// The kernel compares each packet with the rules one after the other. With
// prefixes their number is the same for any number of pods, and with secondary
// addresses there is at most one for an address; none is for a single pod of the
// primary ENI.
func TestRulesPerPod(t *testing.T) {
	l := up(t, "")
	ctx := t.Context()
	conflist(t, l, "node-a", chain)
	rules := func() []string {
		t.Helper()
		out, err := l.Exec(ctx, "node-a", "ip", "rule", "show")
		if err != nil {
			t.Fatal(err)
		}
		return strings.Split(strings.TrimSpace(out), "\n")
	}
	var pods []lab.Pod
	grow := func(to int) {
		t.Helper()
		for len(pods) < to {
			p, err := l.AddPod(ctx, "node-a", "vpc", fmt.Sprintf("rules%d", len(pods)))
			if err != nil {
				t.Fatal(err)
			}
			pods = append(pods, p)
		}
	}
	empty := func() {
		t.Helper()
		for _, p := range pods {
			if err := l.DelPod(ctx, p); err != nil {
				t.Error(err)
			}
		}
		pods = nil
	}

	d := daemon(t, l, "node-a", "IP_COOLDOWN_PERIOD=0", "ENABLE_PREFIX_DELEGATION=true")
	grow(1)
	one := rules()
	grow(20) // more than a prefix has
	if many := rules(); len(many) != len(one) {
		t.Errorf("rules with one pod:\n%s\nwith 20, on prefixes:\n%s", strings.Join(one, "\n"), strings.Join(many, "\n"))
	}
	if second := strings.Fields(rules()[1]); second[0] != "512:" {
		t.Errorf("the rule behind that of local addresses is %q", second)
	}
	empty()
	if err := d.Stop(syscall.SIGTERM); err != nil {
		t.Error(err)
	}

	daemon(t, l, "node-a", "IP_COOLDOWN_PERIOD=0")
	grow(20)
	pool, err := l.Pool(ctx, "node-a")
	if err != nil {
		t.Fatal(err)
	}
	device := map[string]int{}
	for _, e := range pool.ENIs {
		device[e.ID] = e.Device
	}
	secondary := 0
	for _, p := range pods {
		if device[p.ENI] != 0 {
			secondary++
		}
	}
	from := 0
	for _, r := range rules() {
		if strings.HasPrefix(r, "512:") && !strings.HasPrefix(strings.Join(strings.Fields(r), " "), "512: from all lookup") {
			t.Errorf("a rule to a pod: %s", r)
		}
		if strings.HasPrefix(r, "1536:") {
			from++
		}
	}
	if secondary == 0 || from == 0 || from > secondary {
		t.Errorf("%d rules 1536 for %d pods on secondary ENIs:\n%s", from, secondary, strings.Join(rules(), "\n"))
	}
	empty()
	clean(t, l, "node-a")
}
