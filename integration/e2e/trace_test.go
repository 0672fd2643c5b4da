package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/integration/lab"
)

// traced is what `vpcctl trace --json` answers, as far as the tests read it.
type traced struct {
	Trace       string
	Verb        string
	ContainerID string
	Pod         string
	DurationNS  int64
	State       string
	Spans       []tracedSpan
}

type tracedSpan struct {
	Kind, Name, Trace, State, Code, Error, Text, RequestID string
	Shared                                                 bool
	DurationNS                                             *int64
	Attempts                                               int
}

func (c traced) names(kind string) []string {
	var out []string
	for _, s := range c.Spans {
		if s.Kind == kind {
			out = append(out, s.Name)
		}
	}
	return out
}

func (c traced) span(kind, name string) (tracedSpan, bool) {
	i := slices.IndexFunc(c.Spans, func(s tracedSpan) bool { return s.Kind == kind && s.Name == name })
	if i < 0 {
		return tracedSpan{}, false
	}
	return c.Spans[i], true
}

// traces asks vpcctl on node-a for the calls of a pod.
func traces(t testing.TB, l *lab.Lab, pod string) []traced {
	t.Helper()
	out, err := l.Exec(t.Context(), "node-a", l.Bin("vpcctl"), "trace", "default/"+pod, "--json")
	if err != nil {
		t.Fatal(err)
	}
	var v struct{ Calls []traced }
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return v.Calls
}

func theOnly(t testing.TB, l *lab.Lab, pod string) traced {
	t.Helper()
	calls := traces(t, l, pod)
	if len(calls) != 1 {
		t.Fatalf("%d calls for %s: %+v", len(calls), pod, calls)
	}
	return calls[0]
}

// An ADD is one trace over all plugins and the daemon, and so is a DEL.
func TestTraceOfAChain(t *testing.T) {
	l := up(t, "")
	daemon(t, l, "node-a", "IP_COOLDOWN_PERIOD=1")
	conflist(t, l, "node-a", chain)
	p, err := l.AddPod(t.Context(), "node-a", "vpc", "web")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.DelPod(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	calls := traces(t, l, "web")
	if len(calls) != 2 || calls[0].Trace == calls[1].Trace {
		t.Fatalf("%+v", calls)
	}
	forth := []string{"vpc-ipam", "vpc-veth", "vpc-snat"}
	back := slices.Clone(forth)
	slices.Reverse(back)
	for i, want := range []struct {
		verb, rpc string
		plugins   []string
	}{{"ADD", "Assign", forth}, {"DEL", "Release", back}} {
		c := calls[i]
		if c.Verb != want.verb || c.State != "ok" || !slices.Equal(c.names("plugin"), want.plugins) || !slices.Equal(c.names("rpc"), []string{want.rpc}) {
			t.Errorf("the %s is %+v", want.verb, c)
		}
		for _, s := range c.Spans {
			if !s.Shared && s.Trace != c.Trace || s.DurationNS == nil || *s.DurationNS <= 0 || !s.Shared && *s.DurationNS > c.DurationNS {
				t.Errorf("the %s of %s has the span %+v", want.verb, c.Trace, s)
			}
		}
	}
	if rpc, _ := calls[0].span("rpc", "Assign"); !strings.Contains(rpc.Text, p.Addr.String()) {
		t.Errorf("the RPC says %q of %s", rpc.Text, p.Addr)
	}
	clean(t, l, "node-a")
}

// A runtime that traces finds everything below its own span.
func TestTraceparent(t *testing.T) {
	l := up(t, "")
	daemon(t, l, "node-a", "IP_COOLDOWN_PERIOD=1")
	conflist(t, l, "node-a", chain)
	const trace = "4bf92f3577b34da6a3ce929d0e0e4736"
	p := lab.Pod{Node: "node-a", Network: "vpc", Name: "web", Env: []string{"TRACEPARENT=00-" + trace + "-00f067aa0ba902b7-01"}}
	if err := l.NewNetns(t.Context(), p.Node, p.Name); err != nil {
		t.Fatal(err)
	}
	p, err := l.Add(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.DelPod(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	calls := traces(t, l, "web")
	if len(calls) != 2 {
		t.Fatalf("%+v", calls)
	}
	for _, c := range calls {
		if c.Trace != trace || len(c.Spans) < 4 {
			t.Errorf("the %s is %+v", c.Verb, c)
		}
		for _, s := range c.Spans {
			if !s.Shared && s.Trace != trace {
				t.Errorf("%s %s is in %s", s.Kind, s.Name, s.Trace)
			}
		}
	}
	clean(t, l, "node-a")
}

// An ADD that waits for EC2 shows the call that it waits for; one that gets no
// address says why; a plugin that is killed leaves a hole with its name, which
// vpcctl shows with the daemon dead, too.
func TestTraceOfTrouble(t *testing.T) {
	l := up(t, "")
	ctx := t.Context()
	d := daemon(t, l, "node-a", "IP_COOLDOWN_PERIOD=1", "WARM_IP_TARGET=1", "WARM_ENI_TARGET=0")
	conflist(t, l, "node-a", chain)
	const late = 700 * time.Millisecond
	if err := l.Sim(ctx, nil, "fault", "AssignPrivateIpAddresses", "--latency", late.String()); err != nil {
		t.Fatal(err)
	}
	var pods []lab.Pod
	for i := range 6 { // one free address and one call at a time: some of them wait
		pods = append(pods, lab.Pod{Node: "node-a", Network: "vpc", Name: fmt.Sprintf("slow%d", i)})
		if err := l.NewNetns(ctx, "node-a", pods[i].Name); err != nil {
			t.Fatal(err)
		}
	}
	for name, err := range churn(pods, func(p *lab.Pod) (err error) { *p, err = l.Add(ctx, *p); return err }) {
		t.Fatalf("%s: %v", name, err)
	}
	waited := 0
	for _, p := range pods {
		c := theOnly(t, l, p.Name)
		if _, ok := c.span("wait", "address"); !ok {
			continue
		}
		waited++
		ec2, ok := c.span("ec2", "AssignPrivateIpAddresses")
		action, found := c.span("action", "assign")
		if !ok || !ec2.Shared || ec2.Trace == c.Trace || ec2.DurationNS == nil || *ec2.DurationNS < int64(late) || ec2.RequestID == "" || ec2.Attempts != 1 {
			t.Errorf("%s waited for %+v", p.Name, c.Spans)
		}
		if !found || action.Trace != ec2.Trace || action.Text == "" {
			t.Errorf("%s waited for the action %+v", p.Name, action)
		}
	}
	if waited == 0 {
		t.Error("nobody waited")
	}
	for _, action := range []string{"AssignPrivateIpAddresses", "CreateNetworkInterface"} {
		if err := l.Sim(ctx, nil, "fault", action, "--error", "UnauthorizedOperation"); err != nil {
			t.Fatal(err)
		}
	}
	short := shortTimeout(t)
	conflist(t, l, "node-a", short)
	var refused traced
	for i := range 4 { // the warm address first
		p := lab.Pod{Node: "node-a", Network: "short", Name: fmt.Sprintf("none%d", i)}
		if err := l.NewNetns(ctx, "node-a", p.Name); err != nil {
			t.Fatal(err)
		}
		p, err := l.Add(ctx, p)
		pods = append(pods, p)
		if err != nil {
			refused = theOnly(t, l, p.Name)
			break
		}
	}
	ipam, _ := refused.span("plugin", "vpc-ipam")
	rpc, _ := refused.span("rpc", "Assign")
	if refused.State != "failed" || ipam.Code != "11" || !strings.Contains(ipam.Error, "UnauthorizedOperation") || rpc.Code != "ResourceExhausted" {
		t.Errorf("the ADD without an address is %+v", refused)
	}
	pods = append(pods, killed(t, l))
	if err := d.Stop(syscall.SIGKILL); err != nil {
		t.Log("vpc-ipamd ended by:", err)
	}
	if c := theOnly(t, l, "killed"); c.State != "open" || len(c.names("plugin")) != 1 || c.Spans[0].State != "open" || c.Spans[0].Name != "vpc-ipam" {
		t.Errorf("the ADD whose plugin was killed is %+v", c)
	}
	for _, p := range pods {
		if err := l.DelPod(ctx, p); err != nil {
			t.Error(err)
		}
	}
	daemon(t, l, "node-a", "IP_COOLDOWN_PERIOD=1")
	clean(t, l, "node-a")
}

// shortTimeout is the chain as the network "short", whose ADDs wait for 2 s.
func shortTimeout(t testing.TB) string {
	t.Helper()
	raw, err := os.ReadFile(chain)
	if err != nil {
		t.Fatal(err)
	}
	var list map[string]any
	if err := json.Unmarshal(raw, &list); err != nil {
		t.Fatal(err)
	}
	list["name"] = "short"
	list["plugins"].([]any)[0].(map[string]any)["timeout"] = "2s"
	if raw, err = json.Marshal(list); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "20-short.conflist")
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// killed is a pod whose vpc-ipam was killed while it waited for an address.
func killed(t testing.TB, l *lab.Lab) lab.Pod {
	t.Helper()
	p := lab.Pod{Node: "node-a", Network: "vpc", Name: "killed"}
	if err := l.NewNetns(t.Context(), p.Node, p.Name); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := l.Add(t.Context(), p)
		ended <- err
	}()
	err := lab.Poll(t.Context(), func() error {
		if _, err := l.Exec(t.Context(), p.Node, l.Bin("vpcctl"), "trace", "default/killed"); err != nil {
			return err // it has not begun
		}
		pid, err := processOf(l.Bin("vpc-ipam"), "K8S_POD_NAME=killed")
		if err != nil {
			return err
		}
		return syscall.Kill(pid, syscall.SIGKILL)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Fatal("the ADD succeeded without its first plugin")
	}
	return p
}

// processOf is the process of a program with a text in its environment.
func processOf(program, text string) (int, error) {
	all, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		return 0, err
	}
	for _, link := range all {
		dir := filepath.Dir(link)
		exe, _ := os.Readlink(link) // a process may have ended meanwhile
		env, _ := os.ReadFile(filepath.Join(dir, "environ"))
		if exe == program && strings.Contains(string(env), text) {
			return strconv.Atoi(filepath.Base(dir))
		}
	}
	return 0, fmt.Errorf("no %s with %s runs", program, text)
}

// Many chains at once, whose records lie between one another's: each call is one
// trace of its own, with every plugin once.
func TestTracesOfABurst(t *testing.T) {
	l := up(t, "churn.yaml")
	ctx := t.Context()
	daemon(t, l, "node-a", "IP_COOLDOWN_PERIOD=1")
	conflist(t, l, "node-a", chain)
	pods := make([]lab.Pod, 50)
	for i := range pods {
		pods[i] = lab.Pod{Node: "node-a", Network: "vpc", Name: fmt.Sprintf("burst%d", i)}
		if err := l.NewNetns(ctx, "node-a", pods[i].Name); err != nil {
			t.Fatal(err)
		}
	}
	for name, err := range churn(pods, func(p *lab.Pod) (err error) { *p, err = l.Add(ctx, *p); return err }) {
		t.Fatalf("%s: %v", name, err)
	}
	for name, err := range churn(pods, func(p *lab.Pod) error { return l.DelPod(ctx, *p) }) {
		t.Fatalf("%s: %v", name, err)
	}
	out, err := l.Exec(ctx, "node-a", l.Bin("vpcctl"), "trace", "--last", "1000", "--json")
	if err != nil {
		t.Fatal(err)
	}
	var v struct{ Calls []traced }
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, c := range v.Calls {
		if len(c.names("plugin")) != 3 || len(c.names("rpc")) != 1 || c.State != "ok" || seen[c.Trace] || seen[c.Verb+c.Pod] {
			t.Errorf("%+v", c)
		}
		seen[c.Trace], seen[c.Verb+c.Pod] = true, true
	}
	if len(v.Calls) != 2*len(pods) {
		t.Errorf("%d calls, want %d", len(v.Calls), 2*len(pods))
	}
	clean(t, l, "node-a")
}
