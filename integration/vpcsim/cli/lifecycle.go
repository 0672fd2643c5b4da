package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/vpcchain/vpcchain/integration/vpcsim/instance"
	"github.com/vpcchain/vpcchain/integration/vpcsim/netns"
	"github.com/vpcchain/vpcchain/integration/vpcsim/server"
	"github.com/vpcchain/vpcchain/integration/vpcsim/topology"
)

// startLimit is how long a simulation may take to come up: 0.3 s on an idle
// machine, a hundred times that in a virtual machine on a busy one.
const startLimit = 2 * time.Minute

func needRoot() error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("making network namespaces needs root: run it with sudo, or use `vpcsim up --no-fabric`")
	}
	return nil
}

func (a *app) up(args []string) error {
	file := a.fs.String("f", "", "topology file")
	plain := a.fs.Bool("no-fabric", false, "")
	if err := a.none(args); err != nil {
		return err
	}
	if !*plain {
		if err := needRoot(); err != nil {
			return err
		}
	}
	topo := topology.Default()
	var raw []byte
	if *file != "" {
		var err error
		if raw, err = os.ReadFile(*file); err != nil {
			return err
		}
		if topo, err = topology.Parse(raw); err != nil {
			return fmt.Errorf("%s: %w", *file, err)
		}
	}
	if _, err := os.Stat(string(a.dir())); err == nil {
		return fmt.Errorf("%s exists: a simulation called %q runs or has crashed; `vpcsim down --name %s` removes it", a.dir(), a.name, a.name)
	}
	if err := a.start(raw, *plain); err != nil {
		return errors.Join(err, server.Teardown(a.dir()))
	}
	return a.print(topo, func(w io.Writer) { fmt.Fprint(w, topo) })
}

// start runs the server in the background and waits until it answers.
func (a *app) start(raw []byte, plain bool) error {
	if err := a.create(plain); err != nil {
		return err
	}
	if err := os.WriteFile(a.dir().File("topology.yaml"), raw, 0o644); err != nil {
		return err
	}
	log, err := os.Create(a.dir().File("server.log"))
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self, "serve", "--name", a.name)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // outlives this command and its terminal
	if err := cmd.Start(); err != nil {
		return err
	}
	pid := strconv.Itoa(cmd.Process.Pid)
	if err := os.WriteFile(a.dir().File("server.pid"), []byte(pid), 0o644); err != nil {
		return errors.Join(err, cmd.Process.Kill())
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // the log says why
		close(ended)
	}()
	ctx, cancel := context.WithTimeout(a.ctx, startLimit)
	defer cancel()
	for {
		if err = server.Call(ctx, a.dir(), "GET", "/topology", nil, nil); err == nil {
			return nil
		}
		select {
		case <-ended:
			text, _ := os.ReadFile(a.dir().File("server.log"))
			return fmt.Errorf("the simulation did not start: %s", strings.TrimSpace(string(text)))
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("the simulation did not start in time: %w", err), cmd.Process.Kill())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// create makes the directory; a file in it says of which kind the simulation is.
func (a *app) create(plain bool) error {
	if !plain {
		return a.dir().Create()
	}
	if err := a.dir().CreatePlain(); err != nil {
		return err
	}
	return os.WriteFile(a.dir().File(plainMark), nil, 0o600)
}

const plainMark = "no-fabric"

func (a *app) plain() bool {
	_, err := os.Stat(a.dir().File(plainMark))
	return err == nil
}

// serve is the background process of up.
func (a *app) serve(args []string) error {
	if err := a.none(args); err != nil {
		return err
	}
	raw, err := os.ReadFile(a.dir().File("topology.yaml"))
	if err != nil {
		return err
	}
	topo := topology.Default()
	if len(raw) > 0 {
		if topo, err = topology.Parse(raw); err != nil {
			return err
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	start := server.New
	if a.plain() {
		start = server.NewWithoutFabric
	}
	s, err := start(a.dir(), topo)
	if err != nil {
		return err
	}
	return s.Serve(ctx)
}

func (a *app) down(args []string) error {
	if err := a.none(args); err != nil {
		return err
	}
	// Another user's simulation is not found, and must not pass for removed.
	if _, err := os.Stat(filepath.Join(instance.Root, a.name)); err == nil && !a.plain() {
		if err := needRoot(); err != nil {
			return err
		}
	}
	if err := a.stopServer(); err != nil {
		return err
	}
	return server.Teardown(a.dir())
}

// stopServer kills the server, if the pid on file is still one of ours.
func (a *app) stopServer() error {
	raw, err := os.ReadFile(a.dir().File("server.pid"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // never started, or gone
	}
	if err != nil {
		return err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	if err != nil {
		return fmt.Errorf("reading server.pid: %w", err)
	}
	mine := func() bool {
		cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		return err == nil && strings.HasSuffix(string(cmdline), "\x00serve\x00--name\x00"+a.name+"\x00")
	}
	for end := time.Now().Add(10 * time.Second); mine(); time.Sleep(2 * time.Millisecond) {
		// Nothing to save: what it made is removed from outside, as after a crash.
		_ = syscall.Kill(pid, syscall.SIGKILL)
		if time.Now().After(end) {
			return fmt.Errorf("the server, pid %d, does not die", pid)
		}
	}
	return nil
}

func (a *app) exec(args []string) error {
	before, command := args, []string(nil)
	for i, arg := range args {
		if arg == "--" {
			before, command = args[:i], args[i+1:]
			break
		}
	}
	pos, err := a.parse(before)
	if err != nil {
		return err
	}
	if len(pos) != 1 || len(command) == 0 {
		return fmt.Errorf("usage: vpcsim exec [--name N] HOST -- CMD [ARG...]")
	}
	if err := needRoot(); err != nil {
		return err
	}
	if a.plain() {
		return fmt.Errorf("the simulation %q has no fabric and so no hosts; `env $(vpcsim env %s) CMD` runs CMD as if there", a.name, pos[0])
	}
	if _, err := os.Stat(a.dir().Net(pos[0])); err != nil {
		return fmt.Errorf("the simulation %q has no host %q; `vpcsim topology` lists them", a.name, pos[0])
	}
	env, err := a.environment(pos[0])
	if err != nil {
		return err
	}
	return netns.Exec(a.dir().Net(pos[0]), a.dir().Mount(pos[0]), command, append(os.Environ(), env...))
}

func (a *app) environment(host string) ([]string, error) {
	var topo topology.Topology
	var e server.Endpoints
	if err := server.Call(a.ctx, a.dir(), "GET", "/topology", nil, &topo); err != nil {
		return nil, err
	}
	if err := server.Call(a.ctx, a.dir(), "GET", "/endpoints", nil, &e); err != nil {
		return nil, err
	}
	return server.Environment(e, topo.Region, host), nil
}

func (a *app) env(args []string) error {
	pos, err := a.parse(args)
	if err != nil {
		return err
	}
	if len(pos) != 1 {
		return fmt.Errorf("usage: vpcsim env [--name N] INSTANCE")
	}
	var topo topology.Topology
	if err := server.Call(a.ctx, a.dir(), "GET", "/topology", nil, &topo); err != nil {
		return err
	}
	if !slices.ContainsFunc(topo.Instances, func(i topology.Instance) bool { return i.Name == pos[0] }) {
		return fmt.Errorf("the simulation %q has no instance %q; `vpcsim topology` lists them", a.name, pos[0])
	}
	env, err := a.environment(pos[0])
	if err != nil {
		return err
	}
	return a.print(env, func(w io.Writer) { fmt.Fprintln(w, strings.Join(env, "\n")) })
}
