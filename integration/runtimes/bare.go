package runtimes

import (
	"context"
	"os"

	"github.com/vpcchain/vpcchain/integration/lab"
)

// BinDir is the CNI bin directory of an instance.
const BinDir = binDir

// NewBareNode prepares an instance without any plugin or conflist, for a suite
// that has something else install them.
func NewBareNode(ctx context.Context, l *lab.Lab, name, cgroup, image string) (*Node, error) {
	n := &Node{lab: l, name: name, cgroup: cgroup, image: image}
	if err := os.MkdirAll(n.outside(binDir), 0o755); err != nil { //nolint:gosec // every user may read it
		return nil, err
	}
	// The machine's own are below the instance's overlay: podman's package brings one.
	_, err := n.Exec(ctx, "sh", "-c", "mkdir -p "+confDir+" && find "+confDir+" -mindepth 1 -delete")
	return n, err
}
