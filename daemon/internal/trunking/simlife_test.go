package trunking_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing/synctest"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/cloud"
	"github.com/vpcchain/vpcchain/daemon/internal/engine"
	"github.com/vpcchain/vpcchain/daemon/internal/hostnet"
	"github.com/vpcchain/vpcchain/daemon/internal/nohost"
	"github.com/vpcchain/vpcchain/daemon/internal/pool"
	"github.com/vpcchain/vpcchain/daemon/internal/state"
	"github.com/vpcchain/vpcchain/daemon/internal/trunking"
	"github.com/vpcchain/vpcchain/integration/vpcsim/ec2"
	"github.com/vpcchain/vpcchain/pkg/ipamapi"
	"github.com/vpcchain/vpcchain/pkg/sgpp"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// life is one life of the daemon. After its end nothing of it has an effect any
// more, except what it had sent to EC2.
type life struct {
	*engine.Engine
	w      *world
	dir    string
	cancel context.CancelFunc
	ended  chan struct{}
	// stop, if set, decides before (sent false) and after each EC2 call whether the
	// daemon is killed there.
	stop func(action string, sent bool) bool
	dead chan struct{}
	once sync.Once
}

// start is a daemon's start on the files of the one before.
func (w *world) start() *life { return w.startUntil(nil) }

func (w *world) startUntil(stop func(string, bool) bool) *life {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	l := &life{w: w, dir: filepath.Join(w.base, fmt.Sprint(w.dirs)), cancel: cancel, ended: make(chan struct{}), stop: stop, dead: make(chan struct{})}
	w.now = l
	if err := os.MkdirAll(l.dir, 0o700); err != nil {
		w.t.Fatal(err)
	}
	started := make(chan struct{})
	go func() {
		defer close(l.ended)
		if err := l.run(ctx, started); err != nil && !l.isDead() {
			w.t.Errorf("the daemon ends: %v", err)
		}
	}()
	select {
	case <-started:
	case <-l.ended:
		if !l.isDead() {
			w.t.FailNow()
		}
	}
	return l
}

func (l *life) run(ctx context.Context, started chan struct{}) error {
	store, err := state.Open(filepath.Join(l.dir, "ipamd.db"))
	if err != nil {
		return err
	}
	defer func() { _ = store.Close() }()
	aws, err := cloud.New(ctx, cloud.Options{HTTPClient: l, Gate: cloud.NewBuckets().Wait})
	if err != nil {
		return err
	}
	l.Engine = engine.New(engine.Deps{
		Config: l.w.config, ENIs: aws, Remover: aws, Addresses: aws, Metadata: aws, Groups: aws, Host: nohost.Host{}, Store: store, Intents: store,
		Branches: engine.Branches{BranchENIs: aws, BranchStore: store, BranchHost: l, Witnesses: l},
		StateDir: l.dir, Log: slog.New(slog.NewTextHandler(l, nil)),
	})
	if err := l.Start(ctx); err != nil {
		return err
	}
	close(started)
	return l.Run(ctx)
}

// Write takes the log.
func (l *life) Write(p []byte) (int, error) {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	return l.w.log.Write(p)
}

// Witnesses are the pods that the kernel shows.
func (l *life) Witnesses(context.Context) ([]hostnet.Witness, error) {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	return l.w.pods, nil
}

// Heal notes what the kernel is to have.
func (l *life) Heal(want []sgpp.Branch, n sgpp.Node) ([]string, error) {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	l.w.want, l.w.node = want, n
	return nil, nil
}

// Do carries a request to EC2 or IMDS.
func (l *life) Do(r *http.Request) (*http.Response, error) {
	if strings.HasPrefix(r.URL.Host, "imds") {
		return l.w.imds.Do(r)
	}
	action := actionOf(r)
	if l.isDead() || l.stop != nil && l.stop(action, false) {
		return nil, l.die(r.Context())
	}
	resp, err := l.w.sim.Client().Do(r)
	if l.isDead() || l.stop != nil && l.stop(action, true) {
		return nil, l.die(r.Context())
	}
	return resp, err
}

func actionOf(r *http.Request) string {
	raw, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(raw))
	form, _ := url.ParseQuery(string(raw))
	return form.Get("Action")
}

func (l *life) isDead() bool {
	select {
	case <-l.dead:
		return true
	default:
		return false
	}
}

var errKilled = errors.New("the daemon was killed")

// die keeps the files as they are at this moment for the next life.
func (l *life) die(ctx context.Context) error {
	l.once.Do(func() {
		close(l.dead)
		l.w.dirs++
		next := filepath.Join(l.w.base, fmt.Sprint(l.w.dirs))
		raw, err := os.ReadFile(filepath.Join(l.dir, "ipamd.db"))
		if err == nil {
			err = os.MkdirAll(next, 0o700)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(next, "ipamd.db"), raw, 0o600)
		}
		if err != nil {
			l.w.t.Error(err)
		}
		l.cancel()
	})
	<-ctx.Done()
	return errKilled
}

// kill ends the daemon, unless it is dead.
func (w *world) kill() {
	if w.now == nil {
		return
	}
	done, cancel := context.WithCancel(context.Background())
	cancel()
	_ = w.now.die(done)
	<-w.now.ended
	w.now = nil
}

func att(id string) vpcnet.Attachment {
	return vpcnet.Attachment{Network: "vpc", ContainerID: id, IfName: "eth0"}
}

func podOf(id string) pool.Pod { return pool.Pod{Namespace: "ns", Name: id} }

// add is an ADD of a pod that asks for groups.
func (l *life) add(id, groups string, wait time.Duration) (trunking.Given, error) {
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	return l.AssignBranch(ctx, att(id), podOf(id), map[string]string{ipamapi.AnnotationGroups: groups})
}

func (l *life) mustAdd(id, groups string) trunking.Given {
	l.w.t.Helper()
	got, err := l.add(id, groups, 20*time.Second)
	if err != nil {
		l.w.t.Fatalf("ADD of %s: %v", id, err)
	}
	return got
}

func (l *life) del(id string) {
	l.w.t.Helper()
	if _, err := l.Release(att(id)); err != nil {
		l.w.t.Errorf("DEL of %s: %v", id, err)
	}
}

// pass lets time go by, and what it set off finish.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// branches are the branch ENIs in EC2 by id.
func (w *world) branches() map[string]ec2.Interface {
	out := map[string]ec2.Interface{}
	for _, e := range w.sim.Interfaces() {
		if e.Kind == "branch" {
			out[e.ID] = e
		}
	}
	return out
}

// trunks are the ids of the trunk ENIs in EC2.
func (w *world) trunks() []string {
	var out []string
	for _, e := range w.sim.Interfaces() {
		if e.Kind == "trunk" {
			out = append(out, e.ID)
		}
	}
	return out
}

// calls is how often EC2 was asked since the counts began.
func (w *world) calls() int {
	n := 0
	for _, c := range w.sim.Calls() {
		n += c.Count
	}
	return n
}

// slow makes EC2's calls take as long as they do.
func (w *world) slow() {
	for action, d := range map[string]time.Duration{
		"CreateNetworkInterface": 500 * time.Millisecond, "AssociateTrunkInterface": 500 * time.Millisecond, "AttachNetworkInterface": 500 * time.Millisecond,
		"ModifyNetworkInterfaceAttribute": 200 * time.Millisecond, "DisassociateTrunkInterface": 500 * time.Millisecond, "DeleteNetworkInterface": 200 * time.Millisecond,
		ec2.AnyFault: 100 * time.Millisecond,
	} {
		w.sim.Fault(ec2.Fault{Action: action, Latency: d})
	}
}
