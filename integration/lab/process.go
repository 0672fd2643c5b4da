package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// Process is a program running in the background on a host of the simulation.
type Process struct {
	cmd  *exec.Cmd
	log  *logBuffer
	done chan struct{}
	err  error
}

// Start runs a command in the background on a host, with extra environment.
func (l *Lab) Start(host string, env []string, args ...string) (*Process, error) {
	cmd := l.command(context.Background(), host, args...)
	return start(append(os.Environ(), env...), cmd.Path, cmd.Args[1:]...)
}

func start(env []string, command string, args ...string) (*Process, error) {
	p := &Process{cmd: exec.CommandContext(context.Background(), command, args...), log: &logBuffer{}, done: make(chan struct{})}
	p.cmd.Env = env
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	// Own process group: a terminal's Ctrl-C ends the lab, which then ends the process in order.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: 0}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", args[0], err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// PID is the process's number: that of the command itself, which vpcsim exec replaces itself with.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Signal sends sig to the process; one that has ended already is no error.
func (p *Process) Signal(sig syscall.Signal) { _ = p.cmd.Process.Signal(sig) }

// Stop sends sig and waits for the end; after ten seconds it kills.
func (p *Process) Stop(sig syscall.Signal) error {
	p.Signal(sig)
	select {
	case <-p.done:
		return p.err
	case <-time.After(10 * time.Second):
		p.Signal(syscall.SIGKILL)
		<-p.done
		return fmt.Errorf("stopping pid %d: it ignored %v for 10 s and was killed", p.cmd.Process.Pid, sig)
	}
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Log is what the process has written so far.
func (p *Process) Log() string { return p.log.String() }

type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// StartDaemon starts vpc-ipamd on a node and returns when its STATUS is good.
func (l *Lab) StartDaemon(ctx context.Context, node string, env ...string) (*Process, error) {
	return l.StartDaemonOf(ctx, node, l.Bin("vpc-ipamd"), env...)
}

// StartDaemonOf is StartDaemon with another build of vpc-ipamd.
func (l *Lab) StartDaemonOf(ctx context.Context, node, binary string, env ...string) (*Process, error) {
	p, err := l.Start(node, env, binary)
	if err != nil {
		return nil, err
	}
	err = Poll(ctx, func() error {
		select {
		case <-p.Done():
			return Permanent(fmt.Errorf("vpc-ipamd on %s ended: %w\n%s", node, p.err, p.Log()))
		default:
		}
		_, err := l.Exec(ctx, node, l.Bin("vpcctl"), "status")
		return err
	})
	if err != nil {
		_ = p.Stop(syscall.SIGKILL)
		return nil, fmt.Errorf("waiting for vpc-ipamd on %s: %w\n%s", node, err, p.Log())
	}
	return p, nil
}

// Pool is the answer of `vpcctl pool --json`.
type Pool struct {
	ENIs []struct {
		ID        string `json:"id"`
		Device    int    `json:"device"`
		Primary   string `json:"primary"`
		Addresses []struct {
			Address     string `json:"address"`
			State       string `json:"state"`
			ContainerID string `json:"containerID"`
			IfName      string `json:"ifname"`
		} `json:"addresses"`
	} `json:"enis"`
	Addresses int `json:"addresses"`
	Used      int `json:"used"`
	Cooling   int `json:"cooling"`
	Available int `json:"available"`
}

// Pool reads a node's warm pool through vpcctl.
func (l *Lab) Pool(ctx context.Context, node string) (Pool, error) {
	out, err := l.Exec(ctx, node, l.Bin("vpcctl"), "pool", "--json")
	if err != nil {
		return Pool{}, err
	}
	var p Pool
	if err := json.Unmarshal([]byte(out), &p); err != nil {
		return Pool{}, fmt.Errorf("decoding vpcctl pool: %w", err)
	}
	return p, nil
}

// InstallConflist copies a conflist file into the node's /etc/cni/net.d.
func (l *Lab) InstallConflist(ctx context.Context, node, file string) error {
	if _, err := l.Exec(ctx, node, "mkdir", "-p", confDir); err != nil {
		return err
	}
	_, err := l.Exec(ctx, node, "cp", file, filepath.Join(confDir, filepath.Base(file)))
	return err
}
