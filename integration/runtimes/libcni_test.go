package runtimes

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"testing"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/types"
)

// libcniEnv makes the test binary, run on an instance, a caller of libcni: no
// runtime here sends CHECK or GC, but the library beside it can, for the very
// pods that the runtime made, because the cache of results is the same.
const libcniEnv = "VPCCHAIN_RUNTIMES_LIBCNI"

type libcniRequest struct {
	Verb      string // CHECK, GC
	Container string // whose CHECK
	Netns     string
	Valid     []types.GCAttachment // what GC keeps
}

func libcniMain(raw string) int {
	if err := callLibcni(context.Background(), raw); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func callLibcni(ctx context.Context, raw string) error {
	var r libcniRequest
	if err := json.Unmarshal([]byte(raw), &r); err != nil {
		return err
	}
	list, err := libcni.LoadNetworkConf(confDir, network)
	if err != nil {
		return err
	}
	cni := libcni.NewCNIConfig([]string{binDir}, nil)
	switch r.Verb {
	case "CHECK":
		rt := &libcni.RuntimeConf{ContainerID: r.Container, NetNS: r.Netns, IfName: "eth0"}
		// What the runtime passed at ADD is in the cache, as the specification asks of CHECK.
		if _, rt, err = cni.GetNetworkListCachedConfig(list, rt); err != nil {
			return err
		}
		return cni.CheckNetworkList(ctx, list, rt)
	case "GC":
		return cni.GCNetworkList(ctx, list, &libcni.GCArgs{ValidAttachments: r.Valid})
	}
	return fmt.Errorf("unknown verb %q", r.Verb)
}

// libcni makes one call on a node.
func (s *suite) libcni(t *testing.T, node string, r libcniRequest) error {
	t.Helper()
	raw, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.node[node].Exec(t.Context(), "env", libcniEnv+"="+string(raw), os.Args[0])
	return err
}
