// Package kube keeps what Kubernetes says of this node, as vpc-kube reports it,
// and what Kubernetes is to be told. Nothing here knows Kubernetes' API: without
// a report, or long after the last one, the daemon goes on with what it has.
package kube

import (
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/pool"
)

// pendingFor is how long the pods of a report are expected. vpc-kube reports
// every few seconds; when it is gone, so is its demand, and the ENIs for it go back.
const pendingFor = 30 * time.Second

// Taint of a node.
type Taint struct{ Key, Value, Effect string }

// cordoned is the taint that `kubectl cordon` puts on a node.
const cordoned = "node.kubernetes.io/unschedulable"

// Node is what Kubernetes has of the node.
type Node struct {
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Taints      []Taint           `json:"taints,omitempty"`
}

// Report is all that is known at one moment.
type Report struct {
	Node *Node // nil: not known now
	// ENIConfigs are the specs by name, JSON; nil: not known now.
	ENIConfigs map[string]string
	Pending    []pool.Pod // pods that will ask for an address, and have none
}

// told is what outlives a restart.
type told struct {
	Node       *Node             `json:"node,omitempty"`
	ENIConfigs map[string]string `json:"eniConfigs,omitempty"`
}

// Keeper has the last report. Its methods may be called from several goroutines.
type Keeper struct {
	// Moved is called after a report said something else of where ENIs go; nil: nobody minds.
	Moved func()

	path    string
	log     *slog.Logger
	changes chan struct{}
	letters letters

	mu        sync.Mutex
	told      told
	unwritten bool // told is not on disk
	configs   configs
	pending   []pool.Pod
	until     time.Time // pending counts
	reported  time.Time // when the last report came
}

// Open takes up the report of before, if path has one. A file that cannot be
// read is as good as none: the next report replaces it.
func Open(path string, log *slog.Logger) *Keeper {
	k := &Keeper{path: path, log: log, changes: make(chan struct{}, 1), letters: newLetters()}
	t, err := read(path)
	if err != nil {
		log.Warn("what Kubernetes said of this node is lost until vpc-kube reports again", "error", err)
	}
	k.told, k.configs = t, parse(t.ENIConfigs)
	return k
}

// Report takes a report in place of the one before. The error is that of writing
// it: the report counts all the same, and is written with the next one.
func (k *Keeper) Report(r Report) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.reported = time.Now()
	next := k.told
	if r.Node != nil {
		next.Node = r.Node
	}
	if r.ENIConfigs != nil {
		next.ENIConfigs = maps.Clone(r.ENIConfigs)
	}
	news := !reflect.DeepEqual(next, k.told)
	if k.told = next; news {
		if k.Moved != nil {
			defer k.Moved()
		}
		k.unwritten = true
		k.configs = parse(next.ENIConfigs)
		k.log.Info("Kubernetes says something else of this node", "eni_configs", k.configs.names(), "trouble", k.configs.trouble)
	}
	var err error
	if k.unwritten {
		err = write(k.path, next)
		k.unwritten = err != nil
	}
	demand := !slices.Equal(k.pending, r.Pending) || !time.Now().Before(k.until)
	k.pending, k.until = slices.Clone(r.Pending), time.Now().Add(pendingFor)
	if news || demand && len(r.Pending) > 0 {
		select {
		case k.changes <- struct{}{}:
		default:
		}
	}
	return err
}

// Reported is when the last report came, zero before the first since the start.
func (k *Keeper) Reported() time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.reported
}

// Changes has a value after a report that said something new.
func (k *Keeper) Changes() <-chan struct{} { return k.changes }

// Pending are the pods that are about to ask for an address.
func (k *Keeper) Pending() []pool.Pod {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !time.Now().Before(k.until) {
		return nil
	}
	return slices.Clone(k.pending)
}

// Cordoned tells whether no new pods are sent to this node.
func (k *Keeper) Cordoned() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.told.Node != nil && slices.ContainsFunc(k.told.Node.Taints, func(t Taint) bool {
		return t.Key == cordoned && t.Effect == "NoSchedule"
	})
}

// Node has the node's labels and annotations, nil while nobody has told them.
func (k *Keeper) Node() (labels, annotations map[string]string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.told.Node == nil {
		return nil, nil
	}
	return maps.Clone(k.told.Node.Labels), maps.Clone(k.told.Node.Annotations)
}
