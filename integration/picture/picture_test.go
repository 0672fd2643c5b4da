package picture

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/integration/lab"
	"github.com/vpcchain/vpcchain/pkg/ipamclient"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// client is vpc-ipam's, from outside.
func client(l *lab.Lab, node string) *ipamclient.Client {
	return ipamclient.New(filepath.Join(l.RunDir(node), "vpc-cni", "ipamd.sock"))
}

func attachment(i int) vpcnet.Attachment {
	return vpcnet.Attachment{Network: "vpc", ContainerID: fmt.Sprintf("%064x", i+1), IfName: "eth0"}
}

// assign takes addresses as vpc-ipam does, of pods without a network.
func assign(t *testing.T, l *lab.Lab, node string, n int) {
	t.Helper()
	for i := range n {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		_, err := client(l, node).Assign(ctx, ipamclient.Request{Attachment: attachment(i), Pod: ipamclient.Pod{Namespace: "shop", Name: fmt.Sprintf("web-%d", i)}})
		cancel()
		if err != nil {
			t.Fatal(err)
		}
	}
}

// used is a node with real pods: one that went, one that the daemon lost and the
// kernel did not, and some that are just there.
func used(t *testing.T, l *lab.Lab, node string) []lab.Pod {
	t.Helper()
	ctx := t.Context()
	d, err := l.StartDaemon(ctx, node, settings()...)
	if err != nil {
		t.Fatal(err)
	}
	conflist, err := filepath.Abs("../../conflist/10-vpc.conflist")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.InstallConflist(ctx, node, conflist); err != nil {
		t.Fatal(err)
	}
	var pods []lab.Pod
	for _, name := range []string{"web-0", "web-1", "api-0", "db-0", "cache-0"} {
		p, err := l.AddPod(ctx, node, "vpc", name)
		if err != nil {
			t.Fatal(err)
		}
		pods = append(pods, p)
	}
	assign(t, l, node, 7)
	if err := l.DelPod(ctx, pods[4]); err != nil {
		t.Fatal(err)
	}
	for _, e := range readPool(t, l, node).ENIs {
		for _, a := range e.Addresses {
			if a.Pod == "db-0" {
				if err := client(l, node).Release(ctx, vpcnet.Attachment{Network: a.Network, ContainerID: a.ContainerID, IfName: a.IfName}); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	// The next daemon finds an address that the kernel uses and nobody holds.
	if err := d.Stop(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	daemon(t, l, node, settings()...)
	return pods[:3]
}

// settings keep everything as it is while it is looked at.
func settings() []string {
	return []string{"IP_COOLDOWN_PERIOD=3600", "ORPHAN_GRACE_PERIOD=86400", "WARM_IP_TARGET=4"}
}

// What the page shows is what vpcctl says, in the document and in the picture.
func TestUsedNode(t *testing.T) {
	l := up(t, "")
	pods := used(t, l, "node-a")
	b := openBrowser(t, l, "node-a")
	page := b.agree(l, "node-a")
	for _, state := range []string{"used", "free", "cooling", "withheld"} {
		if page.Counts[state] == 0 {
			t.Errorf("no address is %s: %v", state, page.Counts)
		}
	}
	b.look("used")
	var scripts int
	if b.eval("document.scripts.length", &scripts); scripts != 0 {
		t.Errorf("the page has %d scripts", scripts)
	}
	for _, q := range [][]string{
		{pods[0].Addr.String(), "52.78.83.169", "443"},
		{"default/web-1", pods[2].Addr.String(), ""},
		{"node", "172.31.7.10", "22"},
		{"10.99.99.99", "10.98.98.98", ""},
		{"<b>", "node", ""},
	} {
		b.explain(l, "node-a", q[0], q[1], q[2])
	}
	if *update {
		b.size(1100, 800)
		b.theme("light")
		b.open(address + "?src=default%2Fweb-1&dst=52.78.83.169&port=443")
		writePicture(t, b.shot())
	}
}

// explain fills the form in, sends it, and compares with vpcctl.
func (b *browser) explain(l *lab.Lab, node, src, dst, port string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), limit)
	defer cancel()
	args := []string{l.Bin("vpcctl"), "explain", src, dst}
	if port != "" {
		args = append(args, port)
	}
	want, err := l.Exec(ctx, node, args...)
	if failed, ok := errors.AsType[*lab.CommandError](err); ok {
		if want == "" { // a refusal; its text begins with the program's name
			want = strings.TrimPrefix(failed.Stderr, "vpcctl: ")
		}
	} else if err != nil {
		b.t.Fatal(err)
	}
	b.open(address)
	values, err := json.Marshal([]string{src, dst, port})
	if err != nil {
		b.t.Fatal(err)
	}
	b.fill(string(values))
	var got string
	b.eval(`(document.querySelector('#answer') || document.querySelector('#fault')).textContent`, &got)
	if strings.TrimSpace(got) != strings.TrimSpace(want) {
		b.t.Errorf("explain %s %s %s: the page says\n%s\nvpcctl says\n%s", src, dst, port, got, want)
	}
}

// fill sends the form with the values, a JSON array, as a person does.
func (b *browser) fill(values string) {
	b.t.Helper()
	var ok bool
	b.eval(`(() => { const f = document.forms[0]; [f.src.value, f.dst.value, f.port.value] = `+values+`; f.querySelector('button').click(); return true })()`, &ok)
	b.loaded("sending the form")
}

// While ADDs wait the page says for what, and what hinders them.
func TestGrowingNode(t *testing.T) {
	l := up(t, "")
	daemon(t, l, "node-b", settings()...)
	assign(t, l, "node-b", 9)
	if err := l.Sim(t.Context(), nil, "fault", "*", "--error", "UnauthorizedOperation"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*limit)
	var waiting sync.WaitGroup
	t.Cleanup(waiting.Wait)
	t.Cleanup(cancel)
	for i := range 12 {
		waiting.Go(func() { // it ends in vain, with the test
			_, _ = client(l, "node-b").Assign(ctx, ipamclient.Request{Attachment: attachment(100 + i), Pod: ipamclient.Pod{Namespace: "shop", Name: fmt.Sprintf("late-%d", i)}})
		})
	}
	b := openBrowser(t, l, "node-b")
	deadline, done := context.WithTimeout(t.Context(), limit)
	defer done()
	var page shown
	err := lab.Poll(deadline, func() error {
		page = b.agree(l, "node-b")
		if text := strings.Join(page.Lines, "; "); !strings.Contains(text, "wait for an address") || !strings.Contains(text, "next: assign") && !strings.Contains(text, "next: create") {
			return fmt.Errorf("the page says %q", page.Lines)
		}
		if page.Status == "serving" || page.Counts["free"] > 0 {
			return fmt.Errorf("the node is %s with %v", page.Status, page.Counts)
		}
		var events string
		if b.eval(`document.querySelector('#events').textContent`, &events); !strings.Contains(events, "UnauthorizedOperation") || !strings.Contains(events, "shop/web-8") {
			return fmt.Errorf("the events are %q", events)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	b.look("growing")
}

// A full node in prefix mode: each prefix is a group.
func TestFullPrefixNode(t *testing.T) {
	l := up(t, "")
	daemon(t, l, "node-a", append(settings(), "ENABLE_PREFIX_DELEGATION=true", "MAX_PODS=110", "MAX_ENI=1")...)
	assign(t, l, "node-a", 110)
	b := openBrowser(t, l, "node-a")
	page := b.agree(l, "node-a")
	if page.Counts["used"] != 110 || len(page.Slots) != 112 {
		t.Errorf("%d slots, %v", len(page.Slots), page.Counts)
	}
	b.look("full")
	// The page comes anew by itself.
	b.open(address + "?refresh=1")
	began := time.Now()
	b.loaded("refreshing")
	if took := time.Since(began); took > limit/2 {
		t.Errorf("the page came anew after %v", took)
	}
}
