package targets

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vpcchain/vpcchain/pkg/ipamclient"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// anyPort makes the daemon's metrics ones of this test alone.
const anyPort = "METRICS_BIND_ADDRESS=127.0.0.1:0"

var listening = regexp.MustCompile(`"msg":"listening","pages":"metrics","address":"([^"]+)"`)

// page reads a page of the daemon.
func (n *node) page(path string) (code int, body string) {
	n.t.Helper()
	var address string
	for end := time.Now().Add(limit); address == ""; time.Sleep(20 * time.Millisecond) {
		if m := listening.FindStringSubmatch(n.log.String()); m != nil {
			address = m[1]
		}
		if time.Now().After(end) {
			n.t.Fatal("the daemon serves no pages")
		}
	}
	ctx, cancel := context.WithTimeout(n.t.Context(), 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+path, nil)
	if err != nil {
		n.t.Fatal(err)
	}
	reply, err := http.DefaultClient.Do(r)
	if err != nil {
		n.t.Fatal(err)
	}
	defer func() { _ = reply.Body.Close() }()
	raw, err := io.ReadAll(reply.Body)
	if err != nil {
		n.t.Fatal(err)
	}
	return reply.StatusCode, strings.TrimSpace(string(raw))
}

// samples are the metrics, by name with labels as they are written.
func (n *node) samples() map[string]float64 {
	n.t.Helper()
	code, body := n.page("/metrics")
	if code != http.StatusOK {
		n.t.Fatalf("/metrics: %d %s", code, body)
	}
	out := map[string]float64{}
	for lines := bufio.NewScanner(strings.NewReader(body)); lines.Scan(); {
		name, value, ok := strings.Cut(lines.Text(), " ")
		if strings.HasPrefix(name, "#") || !ok {
			continue
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			n.t.Fatalf("%q: %v", lines.Text(), err)
		}
		out[name] = v
	}
	return out
}

// until waits for the samples to be as f wants them; f says what is missing.
func (n *node) until(f func(map[string]float64) string) map[string]float64 {
	n.t.Helper()
	for end := time.Now().Add(limit); ; time.Sleep(50 * time.Millisecond) {
		s := n.samples()
		missing := f(s)
		if missing == "" {
			return s
		}
		if time.Now().After(end) {
			n.t.Fatal(missing)
		}
	}
}

// gauges are what `vpcctl pool` shows, by the names of the metrics.
func (n *node) gauges() map[string]float64 {
	n.t.Helper()
	out, err := exec.Command(filepath.Join(n.bin, "vpcctl"), "pool", "--json", "--socket", n.socket).Output()
	if err != nil {
		n.t.Fatal(err)
	}
	var pool struct {
		ENIs []struct {
			ID        string `json:"id"`
			Addresses []struct {
				State string `json:"state"`
			} `json:"addresses"`
		} `json:"enis"`
		Addresses, Used, Cooling, Available float64
	}
	if err := json.Unmarshal(out, &pool); err != nil {
		n.t.Fatal(err)
	}
	g := map[string]float64{
		"vpcchain_addresses_allocated": pool.Addresses, "awscni_total_ip_addresses": pool.Addresses,
		"vpcchain_addresses_assigned": pool.Used, "awscni_assigned_ip_addresses": pool.Used,
		`vpcchain_addresses{state="used"}`: pool.Used, `vpcchain_addresses{state="cooling"}`: pool.Cooling, `vpcchain_addresses{state="free"}`: pool.Available,
		"vpcchain_enis_attached": float64(len(pool.ENIs)), "awscni_eni_allocated": float64(len(pool.ENIs)),
	}
	for _, e := range pool.ENIs {
		used := 0.0
		for _, a := range e.Addresses {
			if a.State == "used" {
				used++
			}
		}
		g[fmt.Sprintf("vpcchain_eni_addresses_assigned{eni=%q}", e.ID)] = used
	}
	return g
}

// sameGauges wants the metrics to say what vpcctl says.
func (n *node) sameGauges() {
	n.t.Helper()
	n.until(func(s map[string]float64) string {
		want, got := n.gauges(), map[string]float64{}
		for name := range want {
			got[name] = s[name]
		}
		return cmp.Diff(want, got)
	})
}

func (n *node) release(id string) {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), limit)
	defer cancel()
	if err := ipamclient.New(n.socket).Release(ctx, vpcnet.Attachment{Network: "vpc", ContainerID: id, IfName: "eth0"}); err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) callsText() string { return n.run("vpcsim", "calls", "--name", n.sim) }

// The gauges are those of vpcctl through ADD, DEL and rest, and scrapes of a node
// at rest call EC2 not once.
func TestMetricsOfThePool(t *testing.T) {
	t.Parallel()
	n := start(t, "m5.large", anyPort, "WARM_IP_TARGET=4", "IP_COOLDOWN_PERIOD=86400")
	n.sameGauges()
	n.pods(3)
	n.sameGauges()
	n.release("pod-1")
	n.sameGauges()
	n.converge(figures{ENIs: 1, Addresses: 7, Unused: 4, PerENI: "7"}) // 2 used, 1 resting, 4 spare
	before := n.callsText()
	s := n.samples()
	for range 10 {
		n.samples()
	}
	if d := cmp.Diff(before, n.callsText()); d != "" {
		t.Errorf("EC2 calls of a node at rest (-before +after):\n%s", d)
	}
	for name, want := range map[string]float64{
		`vpcchain_addresses{state="used"}`: 2, `vpcchain_addresses{state="cooling"}`: 1, `vpcchain_addresses{state="free"}`: 4,
		"vpcchain_addresses_wanted": 7, "vpcchain_addresses_limit": 27, "awscni_ip_max": 27, "vpcchain_enis_limit": 3, "awscni_eni_max": 3,
		"vpcchain_assign_requests_total": 3, "awscni_add_ip_req_count": 3, `awscni_del_ip_req_count{reason="PodDeleted"}`: 1,
		`vpcchain_rpc_duration_seconds_count{code="OK",method="Assign"}`: 3, `vpcchain_rpc_duration_seconds_count{code="OK",method="Release"}`: 1,
		"vpcchain_ready": 1, "vpcchain_degraded": 0, `vpcchain_waiters{kind="pool"}`: 0, "vpcchain_ec2_failures_in_a_row": 0,
	} {
		if s[name] != want {
			t.Errorf("%s is %v, want %v", name, s[name], want)
		}
	}
	for _, some := range []string{
		`vpcchain_ec2_calls_total{action="AssignPrivateIpAddresses"}`, `vpcchain_ec2_request_duration_seconds_count{action="AssignPrivateIpAddresses"}`,
		`vpcchain_pool_actions_total{action="assign",result="done"}`, "vpcchain_loop_rounds_total",
	} {
		if s[some] < 1 {
			t.Errorf("%s is %v", some, s[some])
		}
	}
	if age := float64(time.Now().Unix()) - s["vpcchain_loop_last_round_timestamp_seconds"]; age < -1 || age > 45 {
		t.Errorf("the loop's last round was %v s ago", age)
	}
	if code, body := n.page("/healthz"); code != http.StatusOK || body != "ok" {
		t.Errorf("/healthz: %d %s", code, body)
	}
}

// What EC2 refuses for its rate is counted, and ends readiness with the reason
// that STATUS gives, until EC2 takes calls again.
func TestMetricsOfThrottling(t *testing.T) {
	t.Parallel()
	n := start(t, "m5.large", anyPort, "WARM_IP_TARGET=1")
	n.converge(figures{ENIs: 1, Addresses: 1, Unused: 1, PerENI: "1"})
	for _, action := range []string{"AssignPrivateIpAddresses", "CreateNetworkInterface"} {
		n.run("vpcsim", "fault", "--name", n.sim, action, "--error", "RequestLimitExceeded")
	}
	n.pods(1)
	s := n.until(func(s map[string]float64) string {
		if s["vpcchain_ready"] != 0 {
			return "the node stays ready, without a free address and with EC2 refusing calls"
		}
		return ""
	})
	throttled := s[`vpcchain_ec2_throttled_requests_total{action="AssignPrivateIpAddresses"}`]
	if throttled < 1 || s[`vpcchain_ec2_request_errors_total{action="AssignPrivateIpAddresses",code="RequestLimitExceeded"}`] != throttled ||
		s["vpcchain_degraded"] != 1 || s["vpcchain_ec2_failures_in_a_row"] < 1 || s[`awscni_aws_api_error_count{api="AssignPrivateIpAddresses",error="RequestLimitExceeded"}`] < 1 {
		t.Errorf("%v throttled requests; %v", throttled, s)
	}
	code, body := n.page("/readyz")
	if code != http.StatusServiceUnavailable || !strings.Contains(body, "RequestLimitExceeded") {
		t.Errorf("/readyz: %d %s", code, body)
	}
	if code, body := n.page("/healthz"); code != http.StatusOK {
		t.Errorf("/healthz: %d %s: a new start would help nobody", code, body)
	}
	out, err := exec.Command(filepath.Join(n.bin, "vpcctl"), "status", "--socket", n.socket).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "RequestLimitExceeded") {
		t.Errorf("vpcctl status: %s, %v", out, err)
	}
	n.run("vpcsim", "fault", "--name", n.sim, "--clear")
	n.until(func(s map[string]float64) string {
		if s["vpcchain_ready"] != 1 || s["vpcchain_ec2_failures_in_a_row"] != 0 {
			return fmt.Sprintf("ready %v after EC2 takes calls again", s["vpcchain_ready"])
		}
		return ""
	})
	if code, _ := n.page("/readyz"); code != http.StatusOK {
		t.Errorf("/readyz: %d", code)
	}
}

// A subnet without addresses shows, as does who asked in vain.
func TestMetricsOfAFullSubnet(t *testing.T) {
	t.Parallel()
	n := upWith(t, strings.Replace(topology, "10.20.0.0/20", "10.20.0.0/28", 1), "m5.large")
	n.daemon(anyPort, "WARM_IP_TARGET=1")
	n.pods(9) // 16 addresses less AWS's 5 and the node's own; the ENI carries 9
	n.until(func(s map[string]float64) string {
		free, ok := s[`vpcchain_subnet_free_addresses{subnet="subnet-a"}`]
		asked, full := s[`vpcchain_subnet_asked_timestamp_seconds{subnet="subnet-a"}`], s[`vpcchain_subnet_full{subnet="any"}`]
		// EC2 may have been asked while the last address was on its way.
		if !ok || free > 2 || asked < 1 || full != 1 || s["vpcchain_ready"] != 0 {
			return fmt.Sprintf("subnet-a has %v free addresses (%v), asked at %v; full is %v, ready is %v", free, ok, asked, full, s["vpcchain_ready"])
		}
		return ""
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := ipamclient.New(n.socket).Assign(ctx, ipamclient.Request{Attachment: vpcnet.Attachment{Network: "vpc", ContainerID: "late", IfName: "eth0"}})
	if err == nil {
		t.Fatal("an address of a full subnet")
	}
	s := n.samples()
	if s["vpcchain_assign_without_address_total"] != 1 || s["awscni_no_available_ip_addresses"] != 1 || s[`vpcchain_rpc_duration_seconds_count{code="ResourceExhausted",method="Assign"}`] != 1 {
		t.Errorf("an ADD in vain is not counted: %v, %v", s["vpcchain_assign_without_address_total"], s)
	}
}
