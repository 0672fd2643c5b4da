package kubeapi

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

// source keeps of the objects of one kind what is needed, and follows them. It
// is the store of a client-go Reflector, which lists, watches, goes on from the
// last version after a break, and lists again when the server has forgotten it.
type source[T any] struct {
	kind string
	log  *slog.Logger
	from *cache.ListWatch
	// pick is an object's key and what is kept of it; false: nothing.
	pick    func(obj any) (key string, kept T, ok bool)
	changed func()

	mu      sync.Mutex
	all     map[string]T // nil: not known yet
	failing time.Time    // since when the server does not answer; zero: it does
}

// run follows the objects until ctx ends.
func (s *source[T]) run(ctx context.Context) {
	lw := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			ctx, cancel := context.WithTimeout(ctx, callTimeout)
			defer cancel()
			out, err := s.from.ListWithContext(ctx, o)
			s.heard(err)
			return out, err
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			out, err := s.from.WatchWithContext(ctx, o)
			s.heard(err)
			return out, err
		},
	}
	// It would log each attempt; heard says what there is to say once.
	silent := klog.Logger{}
	cache.NewReflectorWithOptions(lw, nil, s, cache.ReflectorOptions{Name: s.kind, Logger: &silent}).RunWithContext(klog.NewContext(ctx, silent))
}

// heard notes whether the server answers, and says so when that changes.
func (s *source[T]) heard(err error) {
	// Old servers refuse a watch that begins with a list, and all forget old
	// versions: a Reflector lists then.
	if apierrors.IsInvalid(err) || apierrors.IsResourceExpired(err) || apierrors.IsGone(err) {
		err = nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err == nil && !s.failing.IsZero():
		s.log.Info("the API server answers again", "kind", s.kind, "after", time.Since(s.failing))
		s.failing = time.Time{}
	case err != nil && s.failing.IsZero():
		s.log.Warn("asking the API server fails; what it said before holds", "kind", s.kind, "error", err)
		s.failing = time.Now()
	}
}

// now is what is known; fresh says whether the server was heard within the time.
// Nil is: nothing yet.
func (s *source[T]) now(within time.Duration) (all map[string]T, fresh bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.all), s.failing.IsZero() || time.Since(s.failing) < within
}

// Replace takes the objects of a list.
func (s *source[T]) Replace(list []any, _ string) error {
	next := make(map[string]T, len(list))
	for _, obj := range list {
		if key, kept, ok := s.pick(obj); ok {
			next[key] = kept
		}
	}
	s.mu.Lock()
	s.all = next
	s.mu.Unlock()
	s.changed()
	return nil
}

// Add and Update take an object of the watch.
func (s *source[T]) Add(obj any) error { return s.put(obj, false) }

// Update is Add.
func (s *source[T]) Update(obj any) error { return s.put(obj, false) }

// Delete forgets it.
func (s *source[T]) Delete(obj any) error { return s.put(obj, true) }

// Resync has nothing to do.
func (s *source[T]) Resync() error { return nil }

func (s *source[T]) put(obj any, gone bool) error {
	key, kept, ok := s.pick(obj)
	if key == "" {
		return fmt.Errorf("%T among the %s", obj, s.kind)
	}
	s.mu.Lock()
	_, had := s.all[key]
	if ok && !gone {
		s.all[key] = kept
	} else {
		delete(s.all, key)
	}
	s.mu.Unlock()
	if had || ok {
		s.changed()
	}
	return nil
}
