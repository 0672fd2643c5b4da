// Package lab drives a simulated VPC from outside, the way a person at a shell
// would: through the vpcsim, cnitool, vpc-ipamd and vpcctl binaries. The demo
// and the end-to-end tests are written on it. It never looks into the
// simulator's or the daemon's memory: what it reports, a user can see.
package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Lab is one running simulation.
type Lab struct {
	bin  string // directory of the built binaries
	name string
	// NodeState is the directory that an instance sees as /run, by node.
	dir string
	// CNIPath is where cnitool finds the plugins; empty: the built binaries.
	CNIPath string
}

// Up starts the simulation called name with the topology file, or the default
// topology when the path is empty. An earlier one of the same name is removed.
func Up(ctx context.Context, bin, name, topology string) (*Lab, error) {
	l := &Lab{bin: bin, name: name, dir: filepath.Join("/run/vpcsim", name)}
	if err := l.Down(); err != nil {
		return nil, err
	}
	args := []string{"up", "--name", name}
	if topology != "" {
		args = append(args, "-f", topology)
	}
	if _, err := l.vpcsim(ctx, args...); err != nil {
		return nil, err
	}
	return l, nil
}

// Down removes every trace of the simulation.
func (l *Lab) Down() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_, err := l.vpcsim(ctx, "down", "--name", l.name)
	return err
}

// Bin is the path of one of the project's binaries.
func (l *Lab) Bin(name string) string { return filepath.Join(l.bin, name) }

// RunDir is the directory, seen from outside, that node sees as /run.
func (l *Lab) RunDir(node string) string { return filepath.Join(l.dir, "nodes", node, "run") }

// Topology is what `vpcsim up` prints.
func (l *Lab) Topology(ctx context.Context) (string, error) {
	return l.vpcsim(ctx, "topology", "--name", l.name)
}

// Sim runs a vpcsim subcommand on this simulation and decodes its --json answer into v.
func (l *Lab) Sim(ctx context.Context, v any, args ...string) error {
	args = append(args[:1:1], append([]string{"--name", l.name, "--json"}, args[1:]...)...)
	out, err := l.vpcsim(ctx, args...)
	if err != nil || v == nil {
		return err
	}
	if err := json.Unmarshal([]byte(out), v); err != nil {
		return fmt.Errorf("decoding vpcsim %s: %w", args[0], err)
	}
	return nil
}

// Exec runs a command on a host of the simulation and returns its standard output.
func (l *Lab) Exec(ctx context.Context, host string, args ...string) (string, error) {
	return l.exec(ctx, nil, host, args...)
}

func (l *Lab) exec(ctx context.Context, env []string, host string, args ...string) (string, error) {
	cmd := l.command(ctx, host, args...)
	cmd.Env = append(os.Environ(), env...)
	return output(cmd)
}

// command is `vpcsim exec HOST -- ARGS`; exec replaces the process, so its pid is CMD's.
func (l *Lab) command(ctx context.Context, host string, args ...string) *exec.Cmd {
	full := append([]string{"exec", "--name", l.name, host, "--"}, args...)
	return exec.CommandContext(ctx, l.Bin("vpcsim"), full...)
}

func (l *Lab) vpcsim(ctx context.Context, args ...string) (string, error) {
	return output(exec.CommandContext(ctx, l.Bin("vpcsim"), args...))
}

// CommandError is a command that failed, with what it printed.
type CommandError struct {
	Args           []string
	Stdout, Stderr string
	Err            error
}

func (e *CommandError) Error() string {
	text := strings.TrimSpace(e.Stderr + "\n" + e.Stdout)
	return fmt.Sprintf("%s: %v: %s", strings.Join(e.Args, " "), e.Err, text)
}

// Unwrap gives the *exec.ExitError or the reason why it did not start.
func (e *CommandError) Unwrap() error { return e.Err }

func output(cmd *exec.Cmd) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	// A child that keeps the pipe open must not hang the caller after cmd itself has ended.
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Run(); err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		return stdout.String(), &CommandError{Args: cmd.Args, Stdout: stdout.String(), Stderr: stderr.String(), Err: err}
	}
	return stdout.String(), nil
}
