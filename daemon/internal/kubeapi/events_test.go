package kubeapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/vpcchain/vpcchain/pkg/ipamapi"
)

// fakeEvents keeps events as the API server does.
type fakeEvents struct {
	mu     sync.Mutex
	events map[string]*corev1.Event
	writes int
	fail   error
}

func (f *fakeEvents) CreateEvent(_ context.Context, e *corev1.Event) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail != nil {
		return f.fail
	}
	f.writes++
	f.events[e.Name] = e.DeepCopy()
	return nil
}

func (f *fakeEvents) PatchEvent(_ context.Context, _, name string, patch []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail != nil {
		return f.fail
	}
	e, ok := f.events[name]
	if !ok {
		return apierrors.NewNotFound(schema.GroupResource{Resource: "events"}, name)
	}
	f.writes++
	return json.Unmarshal(patch, e)
}

// list is pod*count:message, sorted.
func (f *fakeEvents) list() string {
	var out []string
	for _, e := range f.events {
		out = append(out, fmt.Sprintf("%s*%d:%s", e.InvolvedObject.Name, e.Count, e.Message))
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func failure(pod, text string) *ipamapi.KubeFailure {
	return &ipamapi.KubeFailure{Pod: &ipamapi.Pod{Namespace: "ns", Name: pod, Uid: "u"}, Text: text, At: time.Now().Unix()}
}

func inBubble(t *testing.T, f func(t *testing.T, api *fakeEvents, e *events)) {
	synctest.Test(t, func(t *testing.T) {
		api := &fakeEvents{events: map[string]*corev1.Event{}}
		f(t, api, newEvents(api, "me", slog.New(slog.DiscardHandler)))
	})
}

func (f *fakeEvents) want(t *testing.T, writes int, want string) {
	t.Helper()
	if got := f.list(); got != want || f.writes != writes {
		t.Errorf("%d writes, events %q; want %d, %q", f.writes, got, writes, want)
	}
}

// A pod that fails again and again has one event, which is written once a minute
// and has the last text.
func TestOneEventForAPod(t *testing.T) {
	inBubble(t, func(t *testing.T, api *fakeEvents, e *events) {
		for i := range 24 {
			e.add([]*ipamapi.KubeFailure{failure("a", fmt.Sprint(i))})
			e.tell(t.Context())
			time.Sleep(5 * time.Second)
		}
		api.want(t, 2, "a*2:12")
		time.Sleep(time.Minute)
		e.tell(t.Context())
		api.want(t, 3, "a*3:23")
		for _, ev := range api.events {
			if !ev.LastTimestamp.After(ev.FirstTimestamp.Time) {
				t.Errorf("from %v to %v", ev.FirstTimestamp, ev.LastTimestamp)
			}
		}
		// The server forgets events after an hour; the next one is a new one.
		clear(api.events)
		time.Sleep(time.Minute)
		e.add([]*ipamapi.KubeFailure{failure("a", "new")})
		e.tell(t.Context())
		api.want(t, 4, "a*1:new")
	})
}

// All pods of a node fail when a subnet is full: the API server is not flooded,
// and all of them are told in time.
func TestEventsOfManyPods(t *testing.T) {
	inBubble(t, func(t *testing.T, api *fakeEvents, e *events) {
		for i := range 30 {
			e.add([]*ipamapi.KubeFailure{failure(fmt.Sprintf("p%02d", i), "x")})
		}
		e.tell(t.Context())
		if api.writes != eventBurst {
			t.Errorf("%d events at once", api.writes)
		}
		for range 100 {
			time.Sleep(time.Second)
			e.tell(t.Context())
		}
		if api.writes != 30 || len(api.events) != 30 {
			t.Errorf("%d writes of %d events after 100 s", api.writes, len(api.events))
		}
	})
}

// What cannot be written now is written later, with the text of then; what is
// refused for good is not tried again.
func TestEventsThatFail(t *testing.T) {
	inBubble(t, func(t *testing.T, api *fakeEvents, e *events) {
		api.fail = errors.New("connection refused")
		e.add([]*ipamapi.KubeFailure{failure("a", "1"), failure("b", "1")})
		e.tell(t.Context())
		e.add([]*ipamapi.KubeFailure{failure("a", "2")})
		e.tell(t.Context())
		api.fail = nil
		time.Sleep(time.Minute)
		e.tell(t.Context())
		api.want(t, 2, "a*1:2 b*1:1")

		api.fail = apierrors.NewForbidden(schema.GroupResource{Resource: "events"}, "", errors.New("the namespace is being terminated"))
		e.add([]*ipamapi.KubeFailure{failure("c", "1")})
		e.tell(t.Context())
		api.fail = nil
		time.Sleep(time.Minute)
		e.tell(t.Context())
		api.want(t, 2, "a*1:2 b*1:1")

		api.fail = errors.New("connection refused")
		e.add([]*ipamapi.KubeFailure{failure("d", "1")})
		e.tell(t.Context())
		time.Sleep(untoldFor + time.Second)
		api.fail = nil
		e.tell(t.Context())
		api.want(t, 2, "a*1:2 b*1:1") // nobody minds any more
	})
}

func TestEventFits(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *fakeEvents, e *events) {
		pod := strings.Repeat("p", 253)
		got := e.event(failure(pod, strings.Repeat("é", 900)), metav1.Now())
		if len(got.Name) > 253 || got.InvolvedObject.Name != pod {
			t.Errorf("the event's name has %d characters, and is for %s", len(got.Name), got.InvolvedObject.Name)
		}
		if len(got.Message) > mostMessage || !utf8.ValidString(got.Message) || !strings.HasSuffix(got.Message, "…") {
			t.Errorf("the message has %d bytes and ends in %q", len(got.Message), got.Message[len(got.Message)-8:])
		}
	})
}

// Which pods will ask for an address of the pool.
func TestWillAsk(t *testing.T) {
	now := metav1.Now()
	branch := corev1.Container{Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{podENI: {}}}}
	for name, tc := range map[string]struct {
		change func(p *corev1.Pod)
		want   bool
	}{
		"new":                     {func(*corev1.Pod) {}, true},
		"static, before a status": {func(p *corev1.Pod) { p.Status.Phase = "" }, true},
		"other annotations":       {func(p *corev1.Pod) { p.Annotations = map[string]string{"a": "b"} }, true},
		"on the node's network":   {func(p *corev1.Pod) { p.Spec.HostNetwork = true }, false},
		"has one":                 {func(p *corev1.Pod) { p.Status.PodIP = "10.0.0.1" }, false},
		"runs":                    {func(p *corev1.Pod) { p.Status.Phase = corev1.PodRunning }, false},
		"has ended":               {func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }, false},
		"has failed":              {func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed }, false},
		"is being deleted":        {func(p *corev1.Pod) { p.DeletionTimestamp = &now }, false},
		"a branch of the VRC":     {func(p *corev1.Pod) { p.Annotations = map[string]string{ipamapi.AnnotationPodENI: "[]"} }, false},
		"a branch of ours":        {func(p *corev1.Pod) { p.Annotations = map[string]string{ipamapi.AnnotationGroups: "sg-1"} }, false},
		"a branch to come":        {func(p *corev1.Pod) { p.Spec.Containers = []corev1.Container{{}, branch} }, false},
	} {
		p := &corev1.Pod{Status: corev1.PodStatus{Phase: corev1.PodPending}}
		tc.change(p)
		if got := willAsk(p); got != tc.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// Pods are expected for a while after the server was heard last, and again when
// it is.
func TestStalePods(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source[int]{kind: "pods", log: slog.New(slog.DiscardHandler), all: map[string]int{"a": 1}}
		want := func(want bool) {
			t.Helper()
			all, fresh := s.now(podsFor)
			if fresh != want || !maps.Equal(all, s.all) {
				t.Errorf("fresh is %v, with %v", fresh, all)
			}
		}
		want(true)
		down := errors.New("connection refused")
		for range 6 {
			s.heard(down)
			time.Sleep(podsFor/6 - time.Millisecond)
			want(true)
		}
		time.Sleep(time.Second)
		s.heard(down)
		want(false)
		s.heard(nil)
		want(true)
		s.heard(apierrors.NewResourceExpired("too old")) // an answer like any other
		time.Sleep(2 * podsFor)
		want(true)
	})
}
