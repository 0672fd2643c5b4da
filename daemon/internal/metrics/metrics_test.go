package metrics

import (
	"context"
	"errors"
	"flag"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/vpcchain/vpcchain/daemon/internal/branch"
	"github.com/vpcchain/vpcchain/daemon/internal/engine"
	"github.com/vpcchain/vpcchain/daemon/internal/eni"
	"github.com/vpcchain/vpcchain/daemon/internal/pool"
	"github.com/vpcchain/vpcchain/daemon/internal/trunking"
	"github.com/vpcchain/vpcchain/pkg/flight"
)

var update = flag.Bool("update", false, "write the golden files and the table of docs/metrics.md")

// still is an engine that stands still.
type still struct {
	g engine.Gauges
	s engine.Status
}

func (e still) Gauges() engine.Gauges { return e.g }

func (e still) Status() engine.Status { return e.s }

// full is a node that shows everything.
func full(t *testing.T) *Metrics {
	t.Helper()
	addr := func(s pool.State, text string) pool.Address {
		return pool.Address{Addr: netip.MustParseAddr(text), State: s}
	}
	e := still{engine.Gauges{
		Pool: pool.Snapshot{
			ENIs: []pool.ENI{
				{ENI: eni.ENI{ID: "eni-1", Prefixes: []netip.Prefix{netip.MustParsePrefix("10.0.0.16/28")}}, Ready: true, Slots: []pool.Address{
					addr(pool.Used, "10.0.0.16"), addr(pool.Used, "10.0.0.17"), addr(pool.Cooling, "10.0.0.18"), addr(pool.Free, "10.0.0.19"), addr(pool.Withheld, "10.0.0.20"),
				}},
				{ENI: eni.ENI{ID: "eni-2", Device: 1}, Slots: []pool.Address{addr(pool.Free, "10.0.1.1")}},
				{ENI: eni.ENI{ID: "eni-3", Device: 2}, Reserved: true, Slots: []pool.Address{addr(pool.Reserved, "10.0.2.1")}},
			},
			Lost: []pool.Allocation{{Addr: netip.MustParseAddr("10.0.3.1")}},
		},
		Wanted: 7, MaxENIs: 4, MaxAddrs: 56, Waiters: 2, Demand: 3, Actions: map[string]int{"create": 1}, FullSubnets: []string{"subnet-b"}, Failures: 5,
		Branches: &trunking.View{Limit: 9, Waiters: 1, Branches: []trunking.Shown{{State: branch.Warm}, {State: branch.InUse}, {State: branch.InUse}}},
		Rounds:   11, LastRound: time.Unix(1000, 5e8),
		Tally: engine.Tally{NoAddress: 6, Orphans: 8, Heals: map[string]uint64{"rule": 12}, Actions: map[engine.Ended]uint64{{Action: "create", Failed: true}: 13}},
	}, engine.Status{State: engine.Limited, Reason: "EC2 throttles"}}
	m := New()
	m.Watch(Sources{
		Engine: e, NATRepairs: func() uint64 { return 14 }, Reported: func() time.Time { return time.Unix(2000, 0) },
		Rooms: func() []eni.SubnetRoom {
			return []eni.SubnetRoom{{ID: "subnet-a", Free: 15, Asked: time.Unix(3000, 0)}}
		},
		Build: func() (string, string) { return "v1", "go1" },
	})
	m.Attempt("CreateNetworkInterface", "RequestLimitExceeded", 30*time.Millisecond, true)
	m.Attempt("CreateNetworkInterface", "", 300*time.Millisecond, false)
	m.Call("CreateNetworkInterface", "")
	m.Call("AssignPrivateIpAddresses", "InsufficientFreeAddressesInSubnet")
	if err := m.Gate(func(context.Context, string) error { return nil })(t.Context(), "CreateNetworkInterface"); err != nil {
		t.Fatal(err)
	}
	for method, err := range map[string]error{"Assign": status.Error(codes.ResourceExhausted, "none"), "Release": nil} {
		info := &grpc.UnaryServerInfo{FullMethod: "/vpcchain.ipam.v1.IPAM/" + method}
		if _, got := m.Unary(t.Context(), nil, info, func(context.Context, any) (any, error) { return nil, err }); !errors.Is(got, err) {
			t.Fatalf("%s: %v", method, got)
		}
	}
	m.plugin(flight.Record{Kind: flight.Plugin, Name: "vpc-veth", Verb: "ADD", Duration: 4 * time.Millisecond})
	return m
}

func scrape(t *testing.T, m *Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil))
	if w.Code != 200 {
		t.Fatalf("%d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

// Every sample, but those of the process and those that are times.
func TestExposition(t *testing.T) {
	var got []string
	for l := range strings.Lines(scrape(t, full(t))) {
		moving := strings.HasPrefix(l, "vpcchain_rpc_duration_seconds_") || strings.HasPrefix(l, "vpcchain_ec2_bucket_wait_seconds_total")
		if bare := strings.TrimPrefix(strings.TrimPrefix(l, "# TYPE "), "# HELP "); strings.HasPrefix(bare, "go_") || strings.HasPrefix(bare, "process_") || moving {
			continue
		}
		got = append(got, l)
	}
	golden(t, "exposition.txt", strings.Join(got, ""))
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s (-want +got), -args -update writes it:\n%s", path, d)
	}
}

// What is shown is what the list says, and the other way round.
func TestFamiliesAreShown(t *testing.T) {
	gathered, err := full(t).registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string]string{}
	for _, f := range gathered {
		if !strings.HasPrefix(f.GetName(), "go_") && !strings.HasPrefix(f.GetName(), "process_") {
			shown[f.GetName()] = strings.ToLower(f.GetType().String())
		}
	}
	want := map[string]string{}
	for _, f := range Families() {
		want[f.Name] = f.Type
		if f.Stock.Name != "" {
			want[f.Stock.Name] = f.Type
		}
	}
	if d := cmp.Diff(want, shown); d != "" {
		t.Errorf("shown (-listed +shown):\n%s", d)
	}
}

// Our names are as Prometheus wants them. What is wrong with the stock CNI's is
// known, and nobody can mend it.
func TestLint(t *testing.T) {
	problems, err := testutil.GatherAndLint(full(t).registry)
	if err != nil {
		t.Fatal(err)
	}
	counterName := `counter metrics should have "_total" suffix`
	count := `non-histogram and non-summary metrics should not have "_count" suffix`
	want := []promlint.Problem{
		{Metric: "awscni_add_ip_req_count", Text: counterName},
		{Metric: "awscni_add_ip_req_count", Text: count},
		{Metric: "awscni_aws_api_error_count", Text: counterName},
		{Metric: "awscni_aws_api_error_count", Text: count},
		{Metric: "awscni_del_ip_req_count", Text: counterName},
		{Metric: "awscni_del_ip_req_count", Text: count},
		{Metric: "awscni_ec2api_req_count", Text: counterName},
		{Metric: "awscni_ec2api_req_count", Text: count},
		{Metric: "awscni_no_available_ip_addresses", Text: counterName},
	}
	order := func(a, b promlint.Problem) int { return strings.Compare(a.Metric+a.Text, b.Metric+b.Text) }
	slices.SortFunc(want, order)
	slices.SortFunc(problems, order)
	if d := cmp.Diff(want, problems); d != "" {
		t.Errorf("problems (-known +found):\n%s", d)
	}
}

// Texts from outside do not make series without end.
func TestBoundedLabels(t *testing.T) {
	m := New()
	for i := range 1000 {
		code := "Code" + strings.Repeat("x", i%200)
		m.Attempt("AttachNetworkInterface", code, 0, false)
		m.Call("AttachNetworkInterface", code)
		m.plugin(flight.Record{Kind: flight.Plugin, Name: code, Verb: code, Code: code})
	}
	n, err := testutil.GatherAndCount(m.registry, ec2Errors, ec2CallsFailed)
	if err != nil || n != 2*(codesMost+1) {
		t.Errorf("%d series of error codes, %v", n, err)
	}
	if n, err := testutil.GatherAndCount(m.registry, pluginDuration); err != nil || n != 1 {
		t.Errorf("%d series of plugins, %v", n, err)
	}
}

// What was written before is not counted; what comes is, over a rotation.
func TestFollowPlugins(t *testing.T) {
	dir := t.TempDir()
	r := flight.Recorder{Dir: dir, Size: 2000}
	one := flight.Record{Traceparent: flight.New(), Kind: flight.Plugin, Name: "vpc-ipam", Verb: "ADD", Start: time.Now(), Duration: time.Millisecond}
	r.Write(one, one, one)
	m := New()
	m.Watch(Sources{Engine: still{}})
	m.flights.follower = flight.Follow(dir, true)
	begun := one
	begun.Begin = true
	for range 10 {
		r.Write(begun, one)
		if !strings.Contains(scrape(t, m), pluginDuration) {
			t.Fatal("a scrape does not read the records")
		}
	}
	failed := one
	failed.Code = "11"
	r.Write(failed)
	text := scrape(t, m)
	for _, want := range []string{
		`vpcchain_plugin_duration_seconds_count{plugin="vpc-ipam",result="ok",verb="ADD"} 10`,
		`vpcchain_plugin_duration_seconds_count{plugin="vpc-ipam",result="error",verb="ADD"} 1`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
}
