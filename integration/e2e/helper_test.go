package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"testing"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/types"

	"github.com/vpcchain/vpcchain/integration/lab"
)

// gcRequest is what the helper reads from its environment. cnitool can only
// say "nothing is valid"; a runtime that keeps survivors calls libcni.
type gcRequest struct {
	Network string
	Valid   []types.GCAttachment
	CNIPath string
}

// helper runs on an instance and returns the exit status.
func helper(verb string) int {
	err := fmt.Errorf("unknown helper %q", verb)
	switch verb {
	case "gc":
		err = helperGC(os.Getenv("VPCCHAIN_E2E_REQUEST"))
	case "get":
		err = helperGet(os.Getenv("VPCCHAIN_E2E_REQUEST"))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func helperGC(raw string) error {
	var req gcRequest
	if err := json.Unmarshal([]byte(raw), &req); err != nil {
		return err
	}
	list, err := libcni.LoadNetworkConf("/etc/cni/net.d", req.Network)
	if err != nil {
		return err
	}
	cni := libcni.NewCNIConfig([]string{req.CNIPath}, nil)
	return cni.GCNetworkList(context.Background(), list, &libcni.GCArgs{ValidAttachments: req.Valid})
}

// gcWithSurvivors calls GC on node through libcni with the given survivors.
func gcWithSurvivors(t testing.TB, l *lab.Lab, node, network string, survivors ...types.GCAttachment) error {
	t.Helper()
	if survivors == nil {
		survivors = []types.GCAttachment{}
	}
	raw, err := json.Marshal(gcRequest{Network: network, Valid: survivors, CNIPath: binDir(t)})
	if err != nil {
		t.Fatal(err)
	}
	_, err = l.Exec(t.Context(), node, "env", helperEnv+"=gc", "VPCCHAIN_E2E_REQUEST="+string(raw), os.Args[0])
	return err
}
