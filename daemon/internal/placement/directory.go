package placement

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"
)

// readEvery is how often the directory is read. Reading a few small files costs
// less than inotify's cases: a directory that does not exist yet, one that is
// replaced, the symbolic links that Kubernetes swaps in a mounted ConfigMap.
const readEvery = 2 * time.Second

// Directory are the ENIConfigs in the YAML files of a directory, which need not
// exist. Files whose names begin with a dot are left out.
type Directory struct {
	path    string
	log     *slog.Logger
	changes chan struct{}

	mu  sync.Mutex
	now content
}

// content is what a reading found.
type content struct {
	configs map[string]ENIConfig
	trouble string
}

// NewDirectory reads the directory once; Run follows it.
func NewDirectory(path string, log *slog.Logger) *Directory {
	return &Directory{path: path, log: log, changes: make(chan struct{}, 1), now: read(path)}
}

// Get is the ENIConfig of the name.
func (d *Directory) Get(name string) (ENIConfig, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	c, ok := d.now.configs[name]
	return c, ok
}

// Names are those that there are, sorted.
func (d *Directory) Names() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Sorted(maps.Keys(d.now.configs))
}

// Trouble says which files could not be used.
func (d *Directory) Trouble() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.now.trouble == "" {
		return nil
	}
	return errors.New(d.now.trouble)
}

// Changes has a value after something changed.
func (d *Directory) Changes() <-chan struct{} { return d.changes }

// Run reads the directory again and again until ctx ends.
func (d *Directory) Run(ctx context.Context) error {
	d.tell(content{}, d.now)
	tick := time.NewTicker(readEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		next := read(d.path)
		d.mu.Lock()
		before := d.now
		d.now = next
		d.mu.Unlock()
		if reflect.DeepEqual(before, next) {
			continue
		}
		d.tell(before, next)
		d.Tell()
	}
}

// Tell is for what else ENIConfigs are chosen by: it has changed.
func (d *Directory) Tell() {
	select {
	case d.changes <- struct{}{}:
	default:
	}
}

func (d *Directory) tell(before, next content) {
	if !reflect.DeepEqual(before.configs, next.configs) {
		d.log.Info("ENIConfigs", "directory", d.path, "names", slices.Sorted(maps.Keys(next.configs)))
	}
	if next.trouble != "" && next.trouble != before.trouble {
		d.log.Warn("ENIConfigs", "error", next.trouble)
	}
}

// read collects the ENIConfigs of all files. A name that two files give is
// nobody's: which of them is meant only an operator knows.
func read(dir string) content {
	c := content{configs: map[string]ENIConfig{}}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return c
	}
	var troubles []string
	if err != nil {
		troubles = append(troubles, fmt.Sprintf("reading the ENIConfigs: %v", err))
	}
	from := map[string]string{}
	for _, entry := range entries {
		file := filepath.Join(dir, entry.Name())
		list, err := readFile(file)
		if err != nil {
			troubles = append(troubles, fmt.Sprintf("reading %s: %s", file, strings.ReplaceAll(err.Error(), "\n", "; ")))
		}
		for _, conf := range list {
			if other, twice := from[conf.Name]; twice {
				troubles = append(troubles, fmt.Sprintf("the ENIConfig %s is in %s and in %s: remove one", conf.Name, other, file))
				delete(c.configs, conf.Name)
				continue
			}
			from[conf.Name], c.configs[conf.Name] = file, conf
		}
	}
	c.trouble = strings.Join(troubles, "; ")
	return c
}

func readFile(path string) ([]ENIConfig, error) {
	name := filepath.Base(path)
	if ext := filepath.Ext(name); strings.HasPrefix(name, ".") || ext != ".yaml" && ext != ".yml" && ext != ".json" {
		return nil, nil
	}
	raw, err := os.ReadFile(path) //nolint:gosec // the operator's directory
	if err != nil {
		return nil, err
	}
	return parseAll(raw)
}
