package kube

import (
	"crypto/rand"
	"slices"
	"sync"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/pool"
)

// Bounds of what is kept for a vpc-kube that does not come: a runtime asks again
// for a pod that has no address every few seconds, for as long as it takes.
const (
	mostFailures = 100
	failureFor   = 10 * time.Minute
)

// Failure is an ADD that ended without an address. Of several of one pod the
// last is kept.
type Failure struct {
	Pod  pool.Pod
	Text string
	At   time.Time
}

// Heard says up to where the failures are known: serials are those of one life
// of the daemon.
type Heard struct {
	Life   string
	Serial uint64
}

// letters are the failures that wait to be fetched, the oldest first.
type letters struct {
	life string

	mu     sync.Mutex
	serial uint64
	list   []letter
}

type letter struct {
	Failure
	serial uint64
}

func newLetters() letters { return letters{life: rand.Text()} }

// Failed keeps a failure for vpc-kube. One without a pod of Kubernetes has
// nobody to be told.
func (k *Keeper) Failed(pod pool.Pod, why error) {
	if pod.Namespace == "" || pod.Name == "" {
		return
	}
	now := time.Now()
	l := &k.letters
	l.mu.Lock()
	defer l.mu.Unlock()
	l.serial++
	l.list = slices.DeleteFunc(l.list, func(o letter) bool {
		same := o.Pod.Namespace == pod.Namespace && o.Pod.Name == pod.Name && o.Pod.UID == pod.UID
		return same || now.Sub(o.At) > failureFor
	})
	if len(l.list) >= mostFailures {
		l.list = l.list[1:]
	}
	l.list = append(l.list, letter{Failure{pod, why.Error(), now}, l.serial})
}

// Failures drops what was heard, and returns the rest and where it ends.
func (k *Keeper) Failures(heard Heard) ([]Failure, Heard) {
	l := &k.letters
	l.mu.Lock()
	defer l.mu.Unlock()
	if heard.Life == l.life {
		l.list = slices.DeleteFunc(l.list, func(o letter) bool { return o.serial <= heard.Serial })
	}
	var out []Failure
	for _, o := range l.list {
		out = append(out, o.Failure)
	}
	return out, Heard{l.life, l.serial}
}
