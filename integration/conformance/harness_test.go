// Package conformance runs the plugin binaries the way a runtime does, one verb
// at a time over every CNI version, through the edge cases of the
// specification. The kernel is two network namespaces of the test's own; the
// daemon is a small in-memory one behind the real socket and contract.
package conformance

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/types/create"
)

// versions are those that a runtime may ask for; 0.4.0 has no GC and no STATUS.
func versions() []string { return []string{"0.4.0", "1.0.0", "1.1.0"} }

// eachVersion runs the case once per version.
func eachVersion(t *testing.T, f func(t *testing.T, version string)) {
	for _, v := range versions() {
		t.Run(v, func(t *testing.T) { f(t, v) })
	}
}

var serial atomic.Int64

// host is a namespace that plays the node.
type host struct {
	t     testing.TB
	name  string
	facts string // path of the node facts; nothing is there unless the test writes it
}

func newNetns(t testing.TB) string {
	t.Helper()
	if os.Geteuid() != 0 {
		const reason = "needs root: plugins make links"
		if strings.Contains(os.Getenv("VPCCHAIN_REQUIRE"), "root") {
			t.Fatal(reason)
		}
		t.Skip(reason)
	}
	name := fmt.Sprintf("vcc%d-%d", os.Getpid(), serial.Add(1))
	must(t, "ip", "netns", "add", name)
	t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", name).Run() })
	must(t, "nsenter", "--net=/run/netns/"+name, "--", "ip", "link", "set", "lo", "up")
	return name
}

// newHost makes a node with a primary link up0 and a default route by it.
func newHost(t testing.TB) *host {
	t.Helper()
	h := &host{t: t, name: newNetns(t), facts: filepath.Join(t.TempDir(), "node.json")}
	h.ip("link", "add", "up0", "mtu", "9001", "type", "veth", "peer", "name", "up1")
	// The kernel gives links their IPv6 routes and their state in its own time, and
	// tests compare the node before and after: no IPv6 here, and both ends are up.
	must(t, "nsenter", "--net=/run/netns/"+h.name, "--", "sh", "-c",
		"for l in up0 up1; do echo 1 >/proc/sys/net/ipv6/conf/$l/disable_ipv6 || exit; done")
	h.ip("link", "set", "up0", "up")
	h.ip("link", "set", "up1", "up")
	for deadline := time.Now().Add(10 * time.Second); strings.Count(h.ip("-br", "link", "show", "type", "veth"), " UP ") != 2; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the node's link has no carrier:\n%s", h.ip("link"))
		}
	}
	h.ip("addr", "add", "10.20.11.162/24", "dev", "up0")
	h.ip("route", "add", "default", "via", "10.20.11.1")
	return h
}

func must(t testing.TB, args ...string) string {
	t.Helper()
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput() //nolint:gosec // the test's own words
	if err != nil {
		t.Fatalf("%s: %v: %s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func (h *host) ip(args ...string) string {
	h.t.Helper()
	return must(h.t, append([]string{"nsenter", "--net=/run/netns/" + h.name, "--", "ip"}, args...)...)
}

// links are the names of the host ends of pods.
func (h *host) links() []string {
	var out []string
	for line := range strings.Lines(h.ip("-o", "link", "show", "type", "veth")) {
		name, _, _ := strings.Cut(strings.Fields(line)[1], "@")
		if name = strings.TrimSuffix(name, ":"); !strings.HasPrefix(name, "up") {
			out = append(out, name)
		}
	}
	return out
}

// state is everything that an ADD may leave on the host, as text.
func (h *host) state() string {
	routes, _ := exec.Command("nsenter", "--net=/run/netns/"+h.name, "--", "ip", "route", "show", "table", "5120").Output() //nolint:gosec // likewise
	return strings.Join(h.links(), " ") + "\n" + string(routes)
}

// call is one execution of a plugin.
type call struct {
	plugin, verb, version string
	network               string
	container, ifname     string
	netns                 string // path
	args                  string // CNI_ARGS
	conf                  map[string]any
	prev                  *types100.Result // converted to version
	wrap                  []string         // command in front of the plugin
}

// config is what the plugin reads.
func (c call) config(t testing.TB, facts string) []byte {
	t.Helper()
	conf := map[string]any{"cniVersion": c.version, "name": c.network, "type": c.plugin, "nodeFacts": facts, "unknownKey": true}
	for k, v := range c.conf {
		if v == nil {
			delete(conf, k)
			continue
		}
		conf[k] = v
	}
	if c.prev != nil {
		prev, err := c.prev.GetAsVersion(c.version)
		if err != nil {
			t.Fatal(err)
		}
		conf["prevResult"] = prev
	}
	raw, err := json.Marshal(conf)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func bin(t testing.TB, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("../../bin", name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v: run `make build` first", err)
	}
	return path
}

// run executes the plugin in the host's namespace. The error is a *types.Error
// if standard output is exactly one of those.
func (h *host) run(c call) ([]byte, error) {
	h.t.Helper()
	if c.network == "" {
		c.network = "vpc"
	}
	if c.ifname == "" {
		c.ifname = "eth0"
	}
	line := append([]string{"--net=/run/netns/" + h.name, "--"}, append(c.wrap, bin(h.t, c.plugin))...)
	cmd := exec.Command("nsenter", line...)
	cmd.Env = []string{
		"CNI_COMMAND=" + c.verb, "CNI_CONTAINERID=" + c.container, "CNI_IFNAME=" + c.ifname, "CNI_NETNS=" + c.netns,
		"CNI_ARGS=" + c.args, "CNI_PATH=" + filepath.Dir(bin(h.t, c.plugin)), "PATH=" + os.Getenv("PATH"),
	}
	cmd.Stdin = bytes.NewReader(c.config(h.t, h.facts))
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if err == nil {
		return stdout.Bytes(), nil
	}
	var cniErr types.Error
	if jerr := json.Unmarshal(stdout.Bytes(), &cniErr); jerr != nil || cniErr.Code == 0 {
		return nil, fmt.Errorf("%w: not one CNI error: stdout %q stderr %q", err, &stdout, &stderr)
	}
	return nil, &cniErr
}

// ok is run of a call that must succeed.
func (h *host) ok(c call) []byte {
	h.t.Helper()
	out, err := h.run(c)
	if err != nil {
		h.t.Fatalf("%s %s: %v", c.plugin, c.verb, err)
	}
	return out
}

// fails is run of a call that must fail with code and a text that has every one of words.
func (h *host) fails(c call, code uint, words ...string) {
	h.t.Helper()
	out, err := h.run(c)
	var cniErr *types.Error
	if !errors.As(err, &cniErr) {
		h.t.Fatalf("%s %s: got %q, %v; want error code %d", c.plugin, c.verb, out, err, code)
	}
	if cniErr.Code != code {
		h.t.Errorf("%s %s: code %d (%s), want %d", c.plugin, c.verb, cniErr.Code, cniErr.Msg, code)
	}
	for _, w := range words {
		if !strings.Contains(cniErr.Msg, w) {
			h.t.Errorf("%s %s: %q does not say %q", c.plugin, c.verb, cniErr.Msg, w)
		}
	}
}

func result(t testing.TB, version string, raw []byte) *types100.Result {
	t.Helper()
	r, err := create.Create(version, raw)
	if err != nil {
		t.Fatalf("decoding the result %s: %v", raw, err)
	}
	out, err := types100.GetResult(r)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// parseConf runs the plugin's CHECK with the documented configuration: it goes
// past the parsing and stops at the absent prevResult.
func parseConf(t *testing.T, plugin, block string) {
	t.Helper()
	var list struct {
		Name    string           `json:"name"`
		Plugins []map[string]any `json:"plugins"`
	}
	if err := json.Unmarshal([]byte(block), &list); err != nil {
		t.Fatalf("%s: %v in\n%s", plugin, err, block)
	}
	h, found := newHost(t), false
	for _, conf := range list.Plugins {
		ipam, _ := conf["ipam"].(map[string]any)
		if conf["type"] != plugin && ipam["type"] != plugin {
			continue
		}
		found = true
		h.fails(call{
			plugin: plugin, verb: "CHECK", version: "1.0.0", network: list.Name, container: "c1", netns: "/run/netns/" + newNetns(t), conf: conf,
		}, 7, "prevResult")
	}
	if !found {
		t.Errorf("%s: the configuration does not use the plugin:\n%s", plugin, block)
	}
}
