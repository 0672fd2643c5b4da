package kubeapi

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"log/slog"
	"slices"
	"sync"
	"time"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/flowcontrol"

	"github.com/vpcchain/vpcchain/pkg/ipamapi"
)

// Rates of events. A runtime asks again for a pod without an address for hours,
// and a full subnet fails all pods of all nodes.
const (
	eventEvery  = time.Minute      // of one pod
	eventBurst  = 10               // of the node
	eventRate   = 1.0 / 5          // a second, of the node
	eventFor    = time.Hour        // the API server's own retention: what was told before is gone
	mostUntold  = 100              // pods
	untoldFor   = 10 * time.Minute // and no longer
	mostMessage = 1000             // bytes; the API takes 1024
)

// reason of the events; their type is Warning.
const reason = "NoPodAddress"

// events writes what failed on the pods it failed for.
type events struct {
	core corev1Events
	node string
	log  *slog.Logger
	rate flowcontrol.RateLimiter

	mu     sync.Mutex
	untold []*ipamapi.KubeFailure
	told   map[string]told // by the key of the pod
	down   bool            // writing fails, and the log says so
}

// corev1Events are the calls for events.
type corev1Events interface {
	CreateEvent(ctx context.Context, e *corev1.Event) error
	PatchEvent(ctx context.Context, namespace, name string, patch []byte) error
}

// told is the event of a pod.
type told struct {
	name  string
	count int32
	last  time.Time
}

func newEvents(core corev1Events, node string, log *slog.Logger) *events {
	return &events{core: core, node: node, log: log, rate: flowcontrol.NewTokenBucketRateLimiter(eventRate, eventBurst), told: map[string]told{}}
}

func podKey(p *ipamapi.Pod) string { return p.GetNamespace() + "/" + p.GetName() + "/" + p.GetUid() }

// add takes failures over; of a pod the last is told.
func (e *events) add(list []*ipamapi.KubeFailure) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, f := range list {
		e.untold = slices.DeleteFunc(e.untold, func(o *ipamapi.KubeFailure) bool { return podKey(o.GetPod()) == podKey(f.GetPod()) })
		e.untold = append(e.untold, f)
	}
	e.untold = e.untold[max(0, len(e.untold)-mostUntold):]
}

// due takes the next failure that may be told now.
func (e *events) due(now time.Time) (*ipamapi.KubeFailure, told) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for key, t := range e.told {
		if now.Sub(t.last) > eventFor {
			delete(e.told, key)
		}
	}
	e.untold = slices.DeleteFunc(e.untold, func(f *ipamapi.KubeFailure) bool { return now.Sub(time.Unix(f.GetAt(), 0)) > untoldFor })
	for i, f := range e.untold {
		before := e.told[podKey(f.GetPod())]
		if before.count > 0 && now.Sub(before.last) < eventEvery {
			continue
		}
		if !e.rate.TryAccept() {
			return nil, told{}
		}
		e.untold = slices.Delete(e.untold, i, i+1)
		return f, before
	}
	return nil, told{}
}

// tell writes what may be told now. A failure that cannot be written is kept for
// the next time, unless the API server will never take it.
func (e *events) tell(ctx context.Context) {
	for {
		f, before := e.due(time.Now())
		if f == nil {
			return
		}
		next, err := e.write(ctx, f, before)
		final := apierrors.IsNotFound(err) || apierrors.IsForbidden(err) || apierrors.IsInvalid(err)
		e.mu.Lock()
		if err == nil {
			e.told[podKey(f.GetPod())] = next
		}
		if news := err != nil; news != e.down || final {
			e.down = news
			if news {
				e.log.Warn("writing an event", "pod", podKey(f.GetPod()), "error", err)
			}
		}
		e.mu.Unlock()
		if err != nil && !final {
			e.again(f)
			return
		}
	}
}

// again puts a failure back that could not be written, unless the pod has failed
// once more meanwhile.
func (e *events) again(f *ipamapi.KubeFailure) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !slices.ContainsFunc(e.untold, func(o *ipamapi.KubeFailure) bool { return podKey(o.GetPod()) == podKey(f.GetPod()) }) {
		e.untold = slices.Insert(e.untold, 0, f)
	}
}

func (e *events) write(ctx context.Context, f *ipamapi.KubeFailure, before told) (told, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	at := metav1.NewTime(time.Unix(f.GetAt(), 0))
	next := told{before.name, before.count + 1, time.Now()}
	if before.count > 0 {
		patch, err := json.Marshal(map[string]any{"count": next.count, "lastTimestamp": at, "message": message(f.GetText())})
		if err != nil {
			return told{}, err
		}
		if err = e.core.PatchEvent(ctx, f.GetPod().GetNamespace(), before.name, patch); !apierrors.IsNotFound(err) {
			return next, err
		}
		next.count = 1 // its time was over
	}
	event := e.event(f, at)
	next.name = event.Name
	return next, e.core.CreateEvent(ctx, event)
}

func (e *events) event(f *ipamapi.KubeFailure, at metav1.Time) *corev1.Event {
	p := f.GetPod()
	h := fnv.New64a()
	_, _ = h.Write(fmt.Appendf(nil, "%s %s %d", podKey(p), e.node, time.Now().UnixNano()))
	// A name of an object has 253 characters at most, and so has a pod's.
	name := p.GetName()[:min(len(p.GetName()), 236)]
	return &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Namespace: p.GetNamespace(), Name: fmt.Sprintf("%s.%016x", name, h.Sum64())},
		InvolvedObject: corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: p.GetNamespace(), Name: p.GetName(), UID: types.UID(p.GetUid())},
		Reason:         reason, Message: message(f.GetText()), Type: corev1.EventTypeWarning, Count: 1, FirstTimestamp: at, LastTimestamp: at,
		Source: corev1.EventSource{Component: "vpc-kube", Host: e.node},
	}
}

// message is the text within what the API takes.
func message(text string) string {
	if len(text) <= mostMessage {
		return text
	}
	const more = "…"
	cut := mostMessage - len(more)
	for !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + more
}
