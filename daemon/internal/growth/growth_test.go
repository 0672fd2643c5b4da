// Package growth measures how fast and by which EC2 calls a node that has no
// address gets those for a burst of pods: the real engine, cloud and state
// packages against a simulated EC2, in virtual time, beside the plan of somebody
// who knew everything before (package ideal). The table is printed with -v.
package growth

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	diff "github.com/google/go-cmp/cmp"

	"github.com/vpcchain/vpcchain/integration/vpcsim/ec2"
	"github.com/vpcchain/vpcchain/integration/vpcsim/ideal"
	"github.com/vpcchain/vpcchain/integration/vpcsim/topology"
)

// latencies of EC2, of which half passes before a call's effect.
func latencies() ideal.Latencies {
	return ideal.Latencies{
		Create: 500 * time.Millisecond, Attach: 2 * time.Second, Mark: 100 * time.Millisecond, Assign: 500 * time.Millisecond, Link: time.Second,
	}
}

// asking is how long a Describe takes, which the perfect plan has no need of.
const asking = 100 * time.Millisecond

// near is how much longer than the perfect plan the daemon may take.
const near = 1.3

func TestMain(m *testing.M) {
	// The SDK reads them at the start of each daemon; nothing of the machine's may leak in.
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "", "AWS_DEFAULT_REGION": "", "AWS_PROFILE": "",
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

type burst struct {
	name  string
	kind  string
	pods  int
	apart time.Duration // one ADD comes so long after the other
	env   map[string]string
	ec2   topology.Conditions
}

// with is the settings "A=1 B=2", and the maximum of pods.
func with(pods int, settings string) map[string]string {
	out := map[string]string{"MAX_PODS": fmt.Sprint(pods)}
	for s := range strings.FieldsSeq(settings) {
		k, v, _ := strings.Cut(s, "=")
		out[k] = v
	}
	return out
}

func bursts() []burst {
	var out []burst
	for _, m := range []struct {
		kind     string
		pods     int
		settings []string
	}{
		{"m5.large", 27, []string{"", "WARM_ENI_TARGET=0", "WARM_IP_TARGET=1", "MINIMUM_IP_TARGET=20", "WARM_IP_TARGET=2 MINIMUM_IP_TARGET=5"}},
		{"m5.4xlarge", 232, []string{"", "WARM_ENI_TARGET=0", "WARM_IP_TARGET=1", "MINIMUM_IP_TARGET=20"}},
		{"m5.large", 110, []string{"ENABLE_PREFIX_DELEGATION=true", "ENABLE_PREFIX_DELEGATION=true WARM_PREFIX_TARGET=0", "ENABLE_PREFIX_DELEGATION=true WARM_IP_TARGET=5"}},
	} {
		for _, s := range m.settings {
			out = append(out, burst{kind: m.kind, pods: m.pods, env: with(m.pods, s), name: fmt.Sprintf("%s, %d pods, %s", m.kind, m.pods, cmp.Or(s, "defaults"))})
		}
	}
	// Not all at the same moment: within 50 ms they are one burst, and what is a
	// whole ENI's anyway needs nobody to guess how many come.
	return append(out,
		burst{kind: "m5.large", pods: 27, env: with(27, "WARM_IP_TARGET=1"), name: "m5.large, 27 pods, WARM_IP_TARGET=1, 1 ms apart", apart: time.Millisecond},
		burst{kind: "m5.large", pods: 27, env: with(27, ""), name: "m5.large, 27 pods, defaults, 4 ms apart", apart: 4 * time.Millisecond},
		burst{kind: "m5.4xlarge", pods: 232, env: with(232, ""), name: "m5.4xlarge, 232 pods, defaults, 2 ms apart", apart: 2 * time.Millisecond},
	)
}

// plan is the perfect one for the burst.
func (b burst) plan(t *testing.T, l ec2.Limits) ideal.Plan {
	t.Helper()
	n := ideal.Node{ENIs: l.ENIs, PerENI: l.IPv4PerENI - 1, PerPiece: 1, Burst: 50, PerSecond: 5}
	if b.env["ENABLE_PREFIX_DELEGATION"] == "true" {
		n.PerPiece = 16
	}
	p, err := ideal.For(n, latencies(), b.pods)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// reads are the calls by which the daemon learns where it is: what the instance
// has, which subnets it may use, and, more than a perfect plan would ask, which
// ENIs a daemon before it has left over.
func reads(p ideal.Plan) map[string]int {
	out := map[string]int{"DescribeNetworkInterfaces": 2}
	if p.Calls()[ideal.Create] > 0 {
		out["DescribeSubnets"] = 1
	}
	return out
}

func TestBursts(t *testing.T) {
	var table strings.Builder
	table.WriteString("| burst | measured s | critical path | ratio | calls that change something | calls that ask |\n|---|---|---|---|---|---|\n")
	for _, b := range bursts() {
		t.Run(b.name, func(t *testing.T) {
			got := b.run(t)
			plan := b.plan(t, got.limits)
			ratio := got.served.Seconds() / plan.Served.Seconds()
			if ratio > near || ratio < 1 {
				t.Errorf("the last of %d pods is served after %s, which is %.2f times the critical path, %s", b.pods, got.served, ratio, plan)
			}
			want := plan.Calls()
			maps.Copy(want, reads(plan))
			if d := diff.Diff(want, got.calls); d != "" {
				t.Errorf("EC2 calls (-plan +made):\n%s", d)
			}
			fmt.Fprintf(&table, "| %s | %.2f | %s | %.2f | %s | %s |\n", b.name, got.served.Seconds(), plan, ratio, count(got.calls, false), count(got.calls, true))
		})
	}
	t.Logf("\n%s", &table)
}

// EC2 knows a new ENI only after a while: the attach is made again, no other ENI.
func TestBurstOfUnknownENIs(t *testing.T) {
	b := burst{kind: "m5.large", pods: 27, env: with(27, ""), ec2: topology.Conditions{NewENIDelay: topology.Duration(2 * time.Second)}}
	got := b.run(t)
	want := b.plan(t, got.limits).Calls()
	want["AttachNetworkInterface InvalidNetworkInterfaceID.NotFound"] = 2
	maps.Copy(want, reads(b.plan(t, got.limits)))
	if d := diff.Diff(want, got.calls); d != "" {
		t.Errorf("EC2 calls (-plan +made):\n%s", d)
	}
}

func count(calls map[string]int, ask bool) string {
	var out []string
	for _, api := range slices.Sorted(maps.Keys(calls)) {
		if strings.HasPrefix(api, "Describe") == ask {
			out = append(out, fmt.Sprintf("%d %s", calls[api], api))
		}
	}
	return strings.Join(out, ", ")
}
