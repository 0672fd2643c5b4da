package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/integration/lab"
)

// helperGet prints a page to an instance's own address.
func helperGet(url string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	reply, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	_, err = io.Copy(os.Stdout, reply.Body)
	if reply.StatusCode != http.StatusOK {
		err = errors.Join(err, fmt.Errorf("%s: %s", url, reply.Status))
	}
	return errors.Join(err, reply.Body.Close())
}

// scrape reads the metrics of node-a, as somebody on the node does.
func scrape(t *testing.T, l *lab.Lab) map[string]float64 {
	t.Helper()
	out, err := l.Exec(t.Context(), "node-a", "env", helperEnv+"=get", "VPCCHAIN_E2E_REQUEST=http://127.0.0.1:61678/metrics", os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	samples := map[string]float64{}
	for l := range strings.Lines(out) {
		name, value, ok := strings.Cut(strings.TrimSpace(l), " ")
		if v, err := strconv.ParseFloat(value, 64); ok && err == nil && !strings.HasPrefix(name, "#") {
			samples[name] = v
		}
	}
	return samples
}

// What somebody takes away is counted when it is back, by kind; what the daemon
// makes for pods is not. Each plugin's ADDs and DELs are measured, once, also
// over a restart of the daemon.
func TestMetricsOfHealsAndPlugins(t *testing.T) {
	l := up(t, "nat.yaml")
	d := daemon(t, l, "node-a")
	conflist(t, l, "node-a", chain)
	pods := twoPods(t, l, "vpc")
	heals := func() (rule, snat float64) {
		s := scrape(t, l)
		return s[`vpcchain_heals_total{object="rule"}`], s[`vpcchain_heals_total{object="snat"}`]
	}
	began, beganSNAT := heals()
	if began != 0 {
		t.Errorf("%v rules healed on a node that nobody touched", began)
	}
	plant(t, l, "ip rule del priority 512")
	plant(t, l, "nft delete table ip vpc-snat")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := lab.Poll(ctx, func() error {
		rule, snat := heals()
		if rule != began+1 || snat != beganSNAT+1 {
			return fmt.Errorf("heals of rules %v, of the SNAT %v", rule-began, snat-beganSNAT)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	if c := check(t, l); len(c.Differences) > 0 {
		t.Errorf("a healed node: %+v", c)
	}
	adds := func(plugin, verb string) float64 {
		return scrape(t, l)[fmt.Sprintf(`vpcchain_plugin_duration_seconds_count{plugin=%q,result="ok",verb=%q}`, plugin, verb)]
	}
	n := adds("vpc-veth", "ADD")
	if n < 2 {
		t.Errorf("%v ADDs of vpc-veth, and at least two pods", n)
	}
	for _, plugin := range []string{"vpc-ipam", "vpc-snat"} {
		if got := adds(plugin, "ADD"); got != n {
			t.Errorf("%v ADDs of %s, %v of vpc-veth", got, plugin, n)
		}
	}
	if err := d.Stop(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	daemon(t, l, "node-a")
	if got := adds("vpc-veth", "ADD"); got != 0 {
		t.Errorf("a new daemon counts %v ADDs that were counted before", got)
	}
	for _, p := range pods {
		if err := l.DelPod(t.Context(), p); err != nil {
			t.Error(err)
		}
	}
	if got := adds("vpc-veth", "DEL"); got != float64(len(pods)) {
		t.Errorf("%v DELs of vpc-veth, want %d", got, len(pods))
	}
}
