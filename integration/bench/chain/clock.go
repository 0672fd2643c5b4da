package chain

import (
	"context"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/containernetworking/cni/pkg/invoke"
	"github.com/containernetworking/cni/pkg/version"

	"github.com/vpcchain/vpcchain/integration/performance"
)

// key says what was measured.
type key struct {
	of    string // a variant
	verb  string // ADD or DEL
	part  string // a program of it, or netlink; empty: the whole
	width int    // pods at once
}

// clock keeps how long things took.
type clock struct {
	mu   sync.Mutex
	took map[key]performance.Samples
}

func (c *clock) add(k key, d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.took[k] = append(c.took[k], d)
}

// timed is libcni's way to execute plugins, from the start of a program to its
// end, with the clock on each.
type timed struct {
	invoke.DefaultExec
	clock *clock
	of    string
	width int // set between rounds
}

func newTimed(c *clock, of string) *timed {
	return &timed{DefaultExec: invoke.DefaultExec{RawExec: &invoke.RawExec{}, PluginDecoder: version.PluginDecoder{}}, clock: c, of: of}
}

// ExecPlugin executes a plugin. One that a plugin delegates to is in the time of that one.
func (t *timed) ExecPlugin(ctx context.Context, path string, stdin []byte, environ []string) ([]byte, error) {
	start := time.Now()
	out, err := t.DefaultExec.ExecPlugin(ctx, path, stdin, environ)
	t.clock.add(key{t.of, verbOf(environ), filepath.Base(path), t.width}, time.Since(start))
	return out, err
}

func verbOf(environ []string) string {
	for _, e := range environ {
		if verb, ok := strings.CutPrefix(e, "CNI_COMMAND="); ok {
			return verb
		}
	}
	return ""
}
