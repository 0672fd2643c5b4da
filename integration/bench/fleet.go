package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/vpcchain/vpcchain/integration/performance"
)

// fleetSizes are the numbers of nodes; those above fleetWhole live through the cold
// start alone. Together they take some three minutes. What is refused grows faster
// than the fleet: 5,000 nodes take more than ten, and are to be had by
//
//	go test -tags grpcnotrace -timeout 1h -run TestFleet ./daemon/internal/fleet -args -sizes 5000 -cold 0
const (
	fleetSizes = "10,100,500,1000"
	fleetWhole = "100"
)

// runFleet has the daemons of whole clusters work against a simulated region. They
// live in virtual time, which only a test has, and most of them on throttled
// calls: so it is `go test` that runs, with a garbage collector that runs less often.
func runFleet(ctx context.Context, o options, _ *performance.Run) (string, error) {
	dir, err := os.MkdirTemp("", "bench-fleet")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	file := filepath.Join(dir, "report.md")
	cmd := exec.CommandContext(ctx, "go", "test", "-count=1", "-timeout=1h", "-tags=grpcnotrace", "-run=TestFleet", "./daemon/internal/fleet", //nolint:gosec // constants and a directory of its own
		"-args", "-sizes="+fleetSizes, "-cold="+fleetWhole, "-report="+file)
	cmd.Dir, cmd.Stdout, cmd.Stderr = o.root, os.Stderr, os.Stderr
	cmd.Env = append(os.Environ(), "GOGC=400")
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("go test ./daemon/internal/fleet: %w", err)
	}
	raw, err := os.ReadFile(file) //nolint:gosec // written above
	return string(raw), err
}
