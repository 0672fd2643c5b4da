package soak

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/cloud"
	"github.com/vpcchain/vpcchain/daemon/internal/engine"
	"github.com/vpcchain/vpcchain/daemon/internal/placement"
	"github.com/vpcchain/vpcchain/daemon/internal/rebuild"
	"github.com/vpcchain/vpcchain/daemon/internal/state"
	"github.com/vpcchain/vpcchain/integration/vpcsim/ec2"
)

// process is one life of the daemon. Killing it is not stopping it: nothing of
// it has an effect any more, what it has sent to EC2 is carried out all the same,
// and the next one finds the files as they were.
type process struct {
	w      *world
	dir    string // its state directory, a copy of its predecessor's
	killed chan struct{}
	ready  chan struct{} // closed when it serves
	ended  chan struct{}
	cancel context.CancelFunc
	e      *engine.Engine
}

var errKilled = errors.New("the daemon was killed")

func (p *process) dead() bool {
	select {
	case <-p.killed:
		return true
	default:
		return false
	}
}

func (p *process) sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-p.killed:
		return errKilled
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// boot starts a daemon on a copy of the state of the one before.
func (w *world) boot() *process {
	ctx, cancel := context.WithCancel(context.Background())
	p := &process{w: w, dir: w.nextDir(), killed: make(chan struct{}), ready: make(chan struct{}), ended: make(chan struct{}), cancel: cancel}
	w.life.Go(func() {
		defer close(p.ended)
		for !p.dead() {
			err := p.run(ctx)
			if err == nil || p.dead() {
				return
			}
			w.logf("the daemon ends: %v", err)
			_ = p.sleep(ctx, time.Second) // its service manager starts it again
		}
	})
	return p
}

// run is the daemon's main without its socket.
func (p *process) run(ctx context.Context) (err error) {
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		return err
	}
	store, err := state.Open(filepath.Join(p.dir, "ipamd.db"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	store.Clock(func() (time.Time, time.Duration) { return time.Now(), time.Since(p.w.booted) })
	wire := &wire{p, ec2.NewDirectClient(p.w.imds)}
	aws, err := cloud.New(ctx, cloud.Options{HTTPClient: wire})
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(p.w, nil))
	hands := host{p.w.kernel, p}
	p.e = engine.New(engine.Deps{
		Config: p.w.config, ENIs: aws, Remover: aws, Addresses: aws, Metadata: &metadata{Client: aws, w: p.w, turn: make(chan struct{}, 1)}, Groups: aws, Host: hands, Store: store, Intents: store,
		Recovery:  &rebuild.Rebuilder{Kernel: hands, Books: store, Used: store.Damaged != "" || rebuild.Used(p.dir), VethPrefix: p.w.config.VethPrefix, Log: log},
		Placement: placement.NewDiscovery(aws, p.w.config.ClusterName, log), StateDir: p.dir, Log: log,
	})
	if err := p.e.Start(ctx); err != nil {
		return err
	}
	close(p.ready)
	return p.e.Run(ctx)
}

// kill ends the daemon at this moment; its files are copied before anything else happens.
func (p *process) kill() {
	close(p.killed)
	p.w.copyDir(p.dir)
	p.cancel()
}

// wire carries the daemon's requests. It takes the time that EC2 takes.
type wire struct {
	p    *process
	imds *ec2.DirectClient
}

// latencies of EC2 as the issue gives them; half of each comes before the effect.
func latency(action string) time.Duration {
	switch action {
	case "AttachNetworkInterface":
		return 2 * time.Second
	case "CreateNetworkInterface", "AssignPrivateIpAddresses", "UnassignPrivateIpAddresses":
		return 500 * time.Millisecond
	}
	return 100 * time.Millisecond
}

type answer struct {
	resp *http.Response
	err  error
}

func (w *wire) Do(r *http.Request) (*http.Response, error) {
	if w.p.dead() {
		return nil, errKilled
	}
	if r.URL.Hostname() == "169.254.169.254" {
		return w.imds.Do(r)
	}
	var raw []byte
	if r.Body != nil {
		var err error
		if raw, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		_ = r.Body.Close()
	}
	form, err := url.ParseQuery(string(raw))
	if err != nil {
		return nil, err
	}
	// Who sent it may give up or die; the request is on its way.
	sent := r.Clone(context.WithoutCancel(r.Context()))
	sent.Body = io.NopCloser(bytes.NewReader(raw))
	got := make(chan answer, 1)
	half := latency(form.Get("Action")) / 2
	w.p.w.life.Go(func() {
		time.Sleep(half)
		resp, err := w.p.w.api.Do(sent)
		time.Sleep(half)
		got <- answer{resp, err}
	})
	select {
	case a := <-got:
		if w.p.dead() {
			return nil, errKilled
		}
		return a.resp, a.err
	case <-w.p.killed:
		return nil, errKilled
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

// copyDir is the state directory as the next daemon will find it. Under the lock,
// so that no DEL spools its release into the old one meanwhile.
func (w *world) copyDir(from string) {
	w.mu.Lock()
	err := errors.Join(os.MkdirAll(from, 0o700), os.CopyFS(w.dirOf(w.serial+1), os.DirFS(from)))
	w.serial++
	w.mu.Unlock()
	if err != nil {
		w.fail("copying the state: %v", err)
	}
}
