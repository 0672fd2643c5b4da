package fleet

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/leaks"
)

// report is the section of the document.
func report(all []phase) string {
	var b strings.Builder
	b.WriteString(`The real daemons of a cluster (packages engine and cloud, one of each per node) in virtual time, against one simulated region: EC2's token buckets
as documented for an account (of each API: calls that change something 50 at once and 5 a second, those that ask 100 and 20), its latencies (create and
assign 0.5 s, attach 2 s, link 1 s after it), and pods that ask as vpc-ipam and the kubelet do: 20 s, then again after 10 to 15 s. Nodes are ` + kind + `
with the default settings and MAX_PODS=110; no vpc-kube. Figures in seconds of virtual time do not depend on the machine. `)
	b.WriteString("`go test ./daemon/internal/fleet` holds small\nfleets to it; `make bench BENCH=fleet` writes this.\n\n")
	b.WriteString("*At least* is in what time the buckets can give the tokens for the calls that the pods need, were no token lost and nothing else asked. " +
		"*Refused*\nare requests that EC2 answers with RequestLimitExceeded; they cost no token.\n")
	head := "\n| nodes | p50 s | p99 s | last pod s | at least s | last / at least | calls of a node | refused for each call | most requests in a second |\n|---|---|---|---|---|---|---|---|---|\n"
	for _, m := range modes() {
		b.WriteString("\n### All nodes start at once, 30 pods on each: " + m.name + "\n" + head)
		for _, p := range all {
			if p.what == "start "+m.name {
				b.WriteString(p.row(true))
			}
		}
	}
	b.WriteString(after)
	b.WriteString("\n| what | nodes | p50 s | p99 s | last pod s | EC2 is asked for s | calls of a node | refused for each call | most requests in a second |\n|---|---|---|---|---|---|---|---|---|\n")
	for _, p := range all {
		if !strings.HasPrefix(p.what, "start") {
			b.WriteString("| " + p.what + " " + p.row(false))
		}
	}
	b.WriteString(sweeps())
	return b.String()
}

const after = `
### Afterwards

*burst*: 20 more pods on every node at one moment. *down*: 40 of the 50 go at one moment. *again*: they come back, after the surplus has gone. EC2
is asked for so long after the last pod had its address, or after the pods went: a surplus goes back when it has lasted 30 to 60 s, by the
instance's id, and 30 s of rest come before that. Between the events nothing was asked of EC2 for 10 minutes.
`

func (p phase) row(start bool) string {
	calls := 0
	for _, n := range p.sums.done {
		calls += n
	}
	last := quantile(p.waits, 1)
	cells := []string{fmt.Sprint(p.nodes), seconds(quantile(p.waits, 0.5)), seconds(quantile(p.waits, 0.99)), seconds(last)}
	if len(p.waits) == 0 {
		cells = []string{fmt.Sprint(p.nodes), "–", "–", "–"}
	}
	if start {
		cells = append(cells, seconds(p.least), fmt.Sprintf("%.2f", last.Seconds()/p.least.Seconds()))
	} else {
		cells = append(cells, seconds(p.calm))
	}
	refused := "0"
	if p.sums.throttled > 0 {
		refused = fmt.Sprintf("%.1f", float64(p.sums.throttled)/float64(max(calls, 1)))
	}
	cells = append(cells, perNode(p.sums.done, p.nodes), refused, fmt.Sprint(p.peak))
	return "| " + strings.Join(cells, " | ") + " |\n"
}

// perNode is what a node called on average.
func perNode(done map[string]int, nodes int) string {
	var out []string
	for _, api := range slices.Sorted(maps.Keys(done)) {
		name := strings.NewReplacer("PrivateIpAddresses", "", "NetworkInterfaceAttribute", "", "NetworkInterfaces", "NetworkInterfaces", "NetworkInterface", "").Replace(api)
		if strings.HasPrefix(api, "Describe") {
			name = api
		}
		out = append(out, strings.TrimSuffix(fmt.Sprintf("%.1f", float64(done[api])/float64(nodes)), ".0")+" "+name)
	}
	return cmp.Or(strings.Join(out, ", "), "none")
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f", d.Seconds()) }

// sweeps is how the daily look for leaked ENIs is spread.
func sweeps() string {
	var b strings.Builder
	b.WriteString("\n### The daily look for leaked ENIs\n\nEach node looks once a day, the stock CNI's once an hour. At what time is drawn from the instance's id and the day; over one day:\n\n")
	b.WriteString("| nodes | calls a day | most in a second | most in a minute |\n|---|---|---|---|\n")
	for _, nodes := range []int{10, 100, 500, 1000, 5000} {
		second, minute := spread(nodes)
		fmt.Fprintf(&b, "| %d | %d | %d | %d |\n", nodes, nodes, second, minute)
	}
	return b.String()
}

// spread is how many nodes' looks meet at most.
func spread(nodes int) (second, minute int) {
	day := time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)
	seconds, minutes := map[int64]int{}, map[int64]int{}
	for _, i := range plan(nodes).Instances {
		at := leaks.Next(i.ID, day)
		seconds[at.Unix()]++
		minutes[at.Unix()/60]++
	}
	return slices.Max(slices.Collect(maps.Values(seconds))), slices.Max(slices.Collect(maps.Values(minutes)))
}

// The looks for leaks of 5,000 nodes stay far below what EC2 lets an account ask: 20 a second.
func TestSweepsAreSpread(t *testing.T) {
	if second, minute := spread(5000); second > 5 || minute > 20 {
		t.Errorf("%d in a second, %d in a minute", second, minute)
	}
}
