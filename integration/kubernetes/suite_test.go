package kubernetes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/integration/lab"
)

const daemonPod = system + "/vpcchain-" + nodeName

// TestKubernetes runs the cases one after the other, each on the node as it finds it.
func TestKubernetes(t *testing.T) {
	c := newCluster(t)
	for _, tc := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"node without a network", c.testEmptyNode},
		{"every object of the manifest", c.testManifest},
		{"ENIConfig of the stock CNI", c.testENIConfig},
		{"what the service account may", c.testAccount},
		{"chart's pod makes the node ready", c.testInstall},
		{"static pod", c.testStatic},
		{"pods of the API", c.testPods},
		{"probes", c.testProbes},
		{"daemon's death", c.testDeath},
		{"kubelet killed", c.testKubeletKilled},
		{"thirty pods", c.testThirty},
		{"beside ptp and host-local", c.testBesidePtp},
		{"nothing is left", c.testClean},
	} {
		if !t.Run(tc.name, tc.run) && tc.name == "chart's pod makes the node ready" {
			t.Fatal("without a network there is nothing more to try")
		}
	}
}

// testClean: when every pod has gone nothing of them is on the node.
func (c *cluster) testClean(t *testing.T) {
	err := lab.Poll(limited(t, 20*time.Second), func() error {
		left, err := c.lab.Leftovers(t.Context(), nodeName)
		if err == nil && len(left) > 0 {
			err = fmt.Errorf("left: %q", left)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	for path, want := range machine {
		if now, err := os.ReadFile(path); err != nil || string(now) != want {
			t.Errorf("%s of the machine was %q and is %q, %v", path, want, now, err)
		}
	}
}

// machine is what a kubelet would change outside its namespaces, as it was when the tests began.
var machine = func() map[string]string {
	out := map[string]string{}
	for _, path := range []string{"vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops"} {
		raw, err := os.ReadFile(filepath.Join("/proc/sys", path))
		if err == nil {
			out[filepath.Join("/proc/sys", path)] = string(raw)
		}
	}
	return out
}()

// runningOf waits until every pod of the names is running and has an address, and
// says when the last one was. It watches from the moment that begin is called.
func (c *cluster) runningOf(ctx context.Context, names []string, begin func() error) (time.Duration, map[string]string, error) {
	missing, addr := map[string]bool{}, map[string]string{}
	for _, n := range names {
		missing[n] = true
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	start := time.Now()
	go func() {
		if err := begin(); err != nil {
			cancel(err)
		}
	}()
	err := c.api.Watch(ctx, pods, func(kind string, raw json.RawMessage) (bool, error) {
		var p Pod
		if err := json.Unmarshal(raw, &p); err != nil {
			return false, err
		}
		switch {
		case kind == "ERROR":
			return false, fmt.Errorf("watching: %s", raw)
		case !missing[p.Metadata.Name] || kind == "DELETED":
		case p.Status.Phase == "Failed":
			return false, errors.New(p.Metadata.Name + " failed")
		case running(p):
			delete(missing, p.Metadata.Name)
			addr[p.Metadata.Name] = p.Status.PodIP
		}
		return len(missing) == 0, nil
	})
	if err != nil {
		err = fmt.Errorf("%d of %d pods are not running: %w", len(missing), len(names), err)
	}
	return time.Since(start), addr, err
}
