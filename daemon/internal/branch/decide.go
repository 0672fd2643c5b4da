package branch

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

const (
	// idle is how long a branch that nobody wants is kept, and the stock of a kind
	// after its last pod. Pods that come and go within it cost EC2 no call.
	idle = 10 * time.Minute
	// unseen is how long EC2 may not know what it was just told: a deletion that it
	// answers with "not found" before that proves nothing.
	unseen = 30 * time.Second
)

// Verb of an action.
type Verb int

// The actions.
const (
	Make   Verb = iota // begin a branch of Kind
	Retire             // end the free branch Key
	Go                 // go on with the next call of Key
)

// Action is one thing to do.
type Action struct {
	Verb Verb
	Kind Kind   // of Make
	Key  string // of the others
}

// Decide returns what to do for the pods that wait, in their order, and for the
// stock. Nothing when all is as it should be.
func (b *Book) Decide(waiting []Kind, now time.Time) []Action {
	var out []Action
	for _, r := range b.All() {
		if r.Announced || r.Step == Ready || b.tooNew(&r, now) {
			continue
		}
		out = append(out, Action{Verb: Go, Key: r.Key})
	}
	room := b.limit - len(b.all)
	more, evict := b.forWaiters(waiting, &room, now)
	out = append(out, more...)
	if evict == 0 {
		for _, k := range b.kinds(now) {
			for n := b.Warm - b.supply(k); n > 0 && room > 0 && !slices.Contains(waiting, k); n-- {
				out = append(out, Action{Verb: Make, Kind: k})
				room--
			}
		}
	}
	for _, key := range b.spare(waiting, evict, now) {
		out = append(out, Action{Verb: Retire, Key: key})
	}
	return out
}

// tooNew tells that EC2 may not know yet what is to be ended.
func (b *Book) tooNew(r *Branch, now time.Time) bool {
	return (r.Step == Leaving || r.Step == Deleting) && now.Sub(r.Changed) < unseen && !r.Changed.After(now)
}

// forWaiters makes what those who wait lack, first come first served, and the
// stock for the next ones; and says how many others have to make room.
func (b *Book) forWaiters(waiting []Kind, room *int, now time.Time) (out []Action, evict int) {
	left := map[Kind]int{}
	for _, k := range waiting {
		if _, ok := left[k]; !ok {
			left[k] = b.coming(k, now)
		}
		if left[k]--; left[k] >= 0 {
			continue
		}
		if *room <= 0 {
			evict++
			continue
		}
		*room--
		out = append(out, Action{Verb: Make, Kind: k})
	}
	for _, r := range b.all {
		if r.Step == Leaving || r.Step == Deleting {
			evict-- // they make room already
		}
	}
	return out, max(evict, 0)
}

// coming are the branches of a kind that are being made, or are there and free
// of rest: waiters get them.
func (b *Book) coming(k Kind, now time.Time) int {
	n := 0
	for _, r := range b.all {
		if r.Kind == k && !r.Announced && (r.Step == Creating || r.Step == Associating || b.free(r) && !b.rests(r, now)) {
			n++
		}
	}
	return n
}

// supply is what a kind's stock has or will have: a branch that rests is not
// available, but will be without a call of EC2.
func (b *Book) supply(k Kind) int {
	n := 0
	for _, r := range b.all {
		asked := r.Step == Ready && r.Holder == nil && !r.missing.IsZero() // EC2 may list it the next time
		if r.Kind == k && !r.Announced && (r.Step == Creating || r.Step == Associating || b.free(r) || asked) {
			n++
		}
	}
	return n
}

// kinds are those whose stock is kept, in a stable order.
func (b *Book) kinds(now time.Time) []Kind {
	live := map[Kind]bool{}
	for k, at := range b.used {
		if live[k] = now.Sub(at) < idle; !live[k] {
			delete(b.used, k)
		}
	}
	for _, r := range b.all {
		live[r.Kind] = live[r.Kind] || r.Holder != nil && !r.Announced
	}
	var out []Kind
	for k, yes := range live {
		if yes {
			out = append(out, k)
		}
	}
	slices.SortFunc(out, compareKinds)
	return out
}

// spare are the free branches to end: as many as have to make room, of kinds
// that nobody waits for, and those that were free for too long and are not of
// the stock. The one that was free for longest goes first.
func (b *Book) spare(waiting []Kind, evict int, now time.Time) []string {
	var free []*Branch
	for _, r := range b.all {
		if b.free(r) && !b.rests(r, now) {
			free = append(free, r)
		}
	}
	slices.SortFunc(free, func(x, y *Branch) int { return cmp.Or(x.Freed.Compare(y.Freed), strings.Compare(x.Key, y.Key)) })
	live := b.kinds(now)
	var out []string
	has := map[Kind]int{} // without those that rest: a pod that comes now has no use for them
	for _, r := range free {
		has[r.Kind]++
	}
	for _, r := range free {
		target := 0
		if slices.Contains(live, r.Kind) {
			target = b.Warm
		}
		switch {
		case slices.Contains(waiting, r.Kind):
			continue
		case evict > 0:
			evict--
		case has[r.Kind] <= target || now.Sub(r.Freed) < idle:
			continue
		}
		has[r.Kind]--
		out = append(out, r.Key)
	}
	return out
}

// Next is when Decide or Take may answer otherwise without anything happening:
// zero if never.
func (b *Book) Next(now time.Time) time.Time {
	var next time.Time
	at := func(t time.Time) {
		if t.After(now) && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	for _, r := range b.all {
		switch {
		case r.Step == Leaving || r.Step == Deleting:
			at(r.Changed.Add(unseen))
		case b.free(r):
			if r.Used {
				at(r.Freed.Add(b.Cooldown))
			}
			at(r.Freed.Add(idle))
		}
		if !r.missing.IsZero() {
			at(r.missing.Add(After))
		}
	}
	for _, t := range b.used {
		at(t.Add(idle))
	}
	return next
}
