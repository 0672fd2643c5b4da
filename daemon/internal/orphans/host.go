package orphans

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"github.com/vpcchain/vpcchain/daemon/internal/hostnet"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// Host is the kernel of the node.
type Host struct{ *hostnet.Host }

// Veths lists the host's ends.
func (h Host) Veths(ctx context.Context) (Veths, error) {
	list, err := h.Witnesses(ctx)
	if err != nil {
		return Veths{}, err
	}
	v := Veths{Of: map[vpcnet.Attachment]bool{}, Unnamed: map[string]bool{}}
	for _, w := range list {
		switch {
		case w.Link == "":
		case w.Attachment == vpcnet.Attachment{}:
			v.Unnamed[w.Link] = true
		default:
			v.Of[w.Attachment] = true
		}
	}
	return v, nil
}

// Netns tells whether the path is a network namespace. Where its directory is
// not there either the daemon may just not see it, as in a container without
// that mount.
func (h Host) Netns(path string) Trace { return netnsTrace(path) }

func netnsTrace(path string) Trace {
	if hostnet.IsNamespace(path) {
		return There
	}
	dir := filepath.Dir(path)
	if strings.HasPrefix(path, "/proc/") {
		dir = "/proc/self" // the directory of a process goes with it
	}
	if _, err := os.Stat(dir); err != nil {
		return Unknown
	}
	return Gone
}

// VisibleNetns is the path if the daemon sees a namespace there, else "": a path
// that means nothing here must not count as gone later.
func VisibleNetns(path string) string {
	if path != "" && hostnet.IsNamespace(path) {
		return path
	}
	return ""
}
