// Package recent keeps the last log records in memory, to be shown: what the
// daemon did and what went wrong, without a look into the node's log. It is a
// slog.Handler in front of another one, so that there is one place where
// something is said, and what is shown is what is logged.
//
// It is no log: what is older than the last few records is gone, and long texts
// are cut.
package recent

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
)

// Pod is the level of what happens to one pod and went well. Keep keeps it
// whatever the log's level is; the log has it with DEBUG, for it would be two
// lines for each pod.
const Pod = slog.LevelDebug + 2

// What is kept, of pods and of everything else apart: a node that starts 700
// pods must not push out why EC2 refused something a minute before.
const (
	keepPods   = 50
	keepOthers = 100
	textBytes  = 500 // of a record
)

// Record is a log record.
type Record struct {
	At    time.Time
	Level slog.Level
	Text  string // the message
	Attrs string // as the text handler writes them: name=value …
	nth   uint64 // of all that came
}

// Keeper has the last records.
type Keeper struct {
	mu     sync.Mutex
	pods   ring
	others ring
	come   uint64
}

// New is an empty Keeper.
func New() *Keeper {
	return &Keeper{pods: ring{most: keepPods}, others: ring{most: keepOthers}}
}

// Records lists what is kept, the newest first.
func (k *Keeper) Records() []Record {
	k.mu.Lock()
	out := slices.Concat(k.pods.list(), k.others.list())
	k.mu.Unlock()
	slices.SortFunc(out, func(a, b Record) int { return cmp.Compare(b.nth, a.nth) })
	return out
}

func (k *Keeper) add(r Record) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.come++
	r.nth = k.come
	if r.Level < slog.LevelInfo {
		k.pods.add(r)
		return
	}
	k.others.add(r)
}

// ring has its records in the order of their coming, from next on.
type ring struct {
	records []Record
	next    int
	most    int
}

func (r *ring) add(rec Record) {
	if len(r.records) < r.most {
		r.records = append(r.records, rec)
		return
	}
	r.records[r.next] = rec
	r.next = (r.next + 1) % r.most
}

// list is a copy, the newest first.
func (r *ring) list() []Record {
	out := slices.Concat(r.records[r.next:], r.records[:r.next])
	slices.Reverse(out)
	return out
}

// Keep is a handler that keeps the records in k and passes them on.
func (k *Keeper) Keep(on slog.Handler) slog.Handler { return handler{k: k, on: on} }

type handler struct {
	k      *Keeper
	on     slog.Handler
	prefix string // of the attributes' names, by groups
	attrs  string // of the logger
}

func (h handler) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= Pod || h.on.Enabled(ctx, l)
}

func (h handler) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= Pod {
		var b strings.Builder
		b.WriteString(h.attrs)
		r.Attrs(func(a slog.Attr) bool {
			write(&b, h.prefix, a)
			return true
		})
		h.k.add(Record{At: r.Time, Level: r.Level, Text: cut(r.Message), Attrs: cut(b.String())})
	}
	if !h.on.Enabled(ctx, r.Level) {
		return nil
	}
	return h.on.Handle(ctx, r)
}

func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	var b strings.Builder
	b.WriteString(h.attrs)
	for _, a := range attrs {
		write(&b, h.prefix, a)
	}
	h.attrs, h.on = b.String(), h.on.WithAttrs(attrs)
	return h
}

func (h handler) WithGroup(name string) slog.Handler {
	h.prefix, h.on = h.prefix+name+".", h.on.WithGroup(name)
	return h
}

func write(b *strings.Builder, prefix string, a slog.Attr) {
	v := a.Value.Resolve()
	if v.Kind() == slog.KindGroup {
		if a.Key != "" {
			prefix += a.Key + "."
		}
		for _, inner := range v.Group() {
			write(b, prefix, inner)
		}
		return
	}
	text := v.String()
	if d, ok := v.Any().(time.Duration); ok {
		text = d.Round(time.Millisecond).String()
	}
	if a.Key == "" || b.Len() > textBytes {
		return
	}
	if b.Len() > 0 {
		b.WriteByte(' ')
	}
	b.WriteString(prefix + a.Key + "=" + text)
}

// cut bounds a text, at the end of a character.
func cut(s string) string {
	if len(s) <= textBytes {
		return s
	}
	return strings.ToValidUTF8(s[:textBytes], "") + "…"
}
