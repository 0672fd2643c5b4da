package install

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vpcchain/vpcchain/daemon/internal/checkpoint"
	"github.com/vpcchain/vpcchain/pkg/nodefacts"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// Removal says what is taken back from where.
type Removal struct {
	BinDir   string
	StateDir string // of vpc-ipamd
	Force    bool   // while pods run: they lose their network
	ToStock  bool   // pods keep running: the stock CNI takes them over
	DryRun   bool
	JSON     bool // the report of it
	// Checkpoint is where the stock daemon reads of them.
	Checkpoint string
}

// Kernel is the node's kernel objects of this project.
type Kernel interface {
	// Pods are the attachments that have a link.
	Pods(ctx context.Context) ([]vpcnet.Attachment, error)
	// Remove takes all of it away, the pods' links if pods is set, and says what;
	// with dry it only says. It goes on after an error.
	Remove(ctx context.Context, pods, dry bool) (removed []string, err error)
	// HandOver turns it into what the stock CNI would have made.
	HandOver(ctx context.Context, dry bool) (changed []string, err error)
}

// Books are vpc-ipamd's state file.
type Books interface {
	// Take keeps every daemon from starting until release, and says who holds an
	// address. The error says that one runs.
	Take() (held []checkpoint.Entry, release func() error, err error)
}

// ParseRemoval reads the command line.
func ParseRemoval(args []string, getenv func(string) string) (Removal, error) {
	r := Removal{BinDir: getenv("HOST_CNI_BIN_PATH")}
	if r.BinDir == "" {
		r.BinDir = "/opt/cni/bin"
	}
	fs := flag.NewFlagSet("uninstall", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.StringVar(&r.BinDir, "bin-dir", r.BinDir, "")
	fs.StringVar(&r.StateDir, "state-dir", nodefacts.Dir, "")
	fs.BoolVar(&r.Force, "force", false, "")
	fs.BoolVar(&r.ToStock, "to-stock", false, "")
	fs.BoolVar(&r.DryRun, "dry-run", false, "")
	fs.BoolVar(&r.JSON, "json", false, "")
	if err := fs.Parse(args); err != nil {
		return r, err
	}
	if fs.NArg() > 0 {
		return r, fmt.Errorf("%q is no flag", fs.Arg(0))
	}
	if r.ToStock && r.Force {
		return r, errors.New("--force and --to-stock exclude each other: pods lose their network, or keep it")
	}
	if r.Checkpoint = getenv("AWS_VPC_K8S_CNI_BACKING_STORE"); r.Checkpoint == "" {
		r.Checkpoint = checkpoint.DefaultPath
	}
	for name, dir := range map[string]string{"bin-dir": r.BinDir, "state-dir": r.StateDir} {
		if err := absolute(dir); err != nil {
			return r, fmt.Errorf("--%s=%q: %w", name, dir, err)
		}
	}
	return r, nil
}

func kernelChanges(texts []string) []Change {
	var out []Change
	for _, t := range texts {
		out = append(out, inKernel(t))
	}
	return out
}

// Uninstall takes the chain off the node. It goes on after an error, so that a
// second call finds only what is left; say hears of each thing that went.
func Uninstall(ctx context.Context, r Removal, k Kernel, b Books, say func(Change)) error {
	held, release, err := b.Take()
	if err != nil && r.DryRun {
		say(note(err.Error()))
		return uninstall(ctx, r, k, nil, say)
	}
	if err != nil {
		return err
	}
	err = uninstall(ctx, r, k, held, say)
	return errors.Join(err, release())
}

func uninstall(ctx context.Context, r Removal, k Kernel, held []checkpoint.Entry, say func(Change)) error {
	pods, err := k.Pods(ctx)
	if err != nil {
		return err
	}
	if err := refuse(r, pods, held); err != nil && r.DryRun {
		say(note(err.Error()))
	} else if err != nil {
		return err
	}
	if r.ToStock { // what cannot be handed over is known before anything is
		asked := r
		asked.DryRun = true
		if _, err := takeKernel(ctx, asked, k, pods, held); err != nil {
			return err
		}
	}
	rec, _, err := readRecord(r.BinDir)
	if err != nil {
		return err
	}
	if rec.Conflist == "" {
		say(note(r.BinDir + " has no record of an installation: plugins and conflists stay as they are"))
	}
	// The runtime is to make no more pods while their kernel objects go.
	errs := []error{run(takeConflist(rec), r.DryRun, say)}
	what, err := takeKernel(ctx, r, k, pods, held)
	for _, w := range what {
		say(w)
	}
	errs = append(errs, err)
	if err != nil && r.ToStock {
		return errors.Join(errs...) // the stock CNI is not to begin on half of it
	}
	errs = append(errs, run(takeFiles(r, rec), r.DryRun, say))
	// What says where everything is goes last, and only with everything.
	if err := errors.Join(errs...); err != nil || r.DryRun {
		return err
	}
	return errors.Join(
		run([]step{{verb: drop, path: filepath.Join(r.BinDir, recordFile)}}, false, func(Change) {}), dropState(r.StateDir))
}

// takeKernel removes the kernel objects, or leaves them as the stock CNI's. Its
// checkpoint is there before anything is its own.
func takeKernel(ctx context.Context, r Removal, k Kernel, pods []vpcnet.Attachment, held []checkpoint.Entry) ([]Change, error) {
	if !r.ToStock {
		removed, err := k.Remove(ctx, r.Force, r.DryRun)
		return kernelChanges(removed), err
	}
	for _, a := range pods {
		if !slices.ContainsFunc(held, func(e checkpoint.Entry) bool { return e.Attachment == a }) {
			return nil, fmt.Errorf("pod %s is not in the books of vpc-ipamd: delete it first, or its address would be given to another pod", a)
		}
	}
	raw, err := checkpoint.Format(held)
	if err != nil {
		return nil, err
	}
	file := step{verb: write, path: r.Checkpoint, data: raw}
	changed, err := []Change{file.change()}, error(nil)
	if !r.DryRun {
		err = file.do(ctx, nil)
	}
	if err != nil {
		return nil, err
	}
	more, err := k.HandOver(ctx, r.DryRun)
	return append(changed, kernelChanges(more)...), err
}

// refuse says why the node is not to be touched, or nil.
func refuse(r Removal, pods []vpcnet.Attachment, held []checkpoint.Entry) error {
	all := slices.Clone(pods)
	for _, e := range held {
		if !slices.Contains(all, e.Attachment) {
			all = append(all, e.Attachment)
		}
	}
	if len(all) == 0 || r.Force || r.ToStock {
		return nil
	}
	const few = 5
	names := make([]string, 0, few+1)
	for _, a := range all[:min(few, len(all))] {
		names = append(names, a.String())
	}
	if len(all) > few {
		names = append(names, "…")
	}
	return fmt.Errorf("%d pods use this chain (%s): drain the node first, or --force, which cuts them off, or --to-stock, if the stock CNI is to take them over", len(all), strings.Join(names, ", "))
}

func takeConflist(r record) []step {
	if r.Conflist == "" {
		return nil
	}
	return present([]step{{verb: drop, path: filepath.Join(r.ConfDir, r.Conflist)}})
}

// takeFiles are the plugins, the table's name and the conflists that were retired.
func takeFiles(r Removal, rec record) []step {
	var steps []step
	for _, name := range rec.Plugins {
		path := filepath.Join(r.BinDir, name)
		_, err := os.Lstat(path + beforeSuffix)
		switch {
		case !plainName(name):
		case err == nil:
			steps = append(steps, step{verb: restore, path: path})
		case !slices.Contains(rec.Replaced, name): // else an earlier call has brought it back
			steps = append(steps, step{verb: drop, path: path})
		}
	}
	if rec.TablesDir != "" {
		steps = append(steps, step{verb: drop, path: filepath.Join(rec.TablesDir, tablesFile)})
	}
	for _, name := range rec.Retired {
		path := filepath.Join(rec.ConfDir, name)
		if _, err := os.Lstat(path); err == nil {
			steps = append(steps, step{verb: drop, path: path + beforeSuffix}) // its owner has written it again
		} else if _, err := os.Lstat(path + beforeSuffix); err == nil {
			steps = append(steps, step{verb: restore, path: path})
		}
	}
	return present(steps)
}

// present leaves out the removal of what is gone.
func present(steps []step) []step {
	return slices.DeleteFunc(steps, func(s step) bool {
		_, err := os.Lstat(s.path)
		return s.verb == drop && errors.Is(err, fs.ErrNotExist)
	})
}

func run(steps []step, dry bool, say func(Change)) error {
	var errs []error
	for _, s := range steps {
		say(s.change())
		if !dry {
			errs = append(errs, s.do(context.Background(), nil))
		}
	}
	return errors.Join(errs...)
}

// stateFiles are the files of vpc-ipamd and of the plugins, with what is left
// where one of them was killed while it wrote.
func stateFiles() []string {
	return []string{
		"ipamd.db", "ipamd.db.*", "ipamd.sock", "ipamd.sock.new", "node.json", ".node-*.json", "wanted.json", "wanted.json.new", "kube.json", "kube.json.new",
		"sysctl.json", "sysctl.json.new", "snat*.json", ".snat-*", "snat.lock", "sgpp.json", "sgpp.json.new", "sgpp.lock", "spool", "trace",
	}
}

// dropState removes the files of vpc-ipamd and of the plugins, by name: the
// directory may be one that the operator chose.
func dropState(dir string) error {
	var errs []error
	for _, pattern := range stateFiles() {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		errs = append(errs, err)
		for _, path := range found {
			errs = append(errs, os.RemoveAll(path))
		}
	}
	// Not empty: something else is in it.
	_ = os.Remove(dir)
	return errors.Join(errs...)
}
