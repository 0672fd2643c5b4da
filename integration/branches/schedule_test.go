package branches

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/integration/lab"
	"github.com/vpcchain/vpcchain/pkg/nodefacts"
)

// schedules of the whole chain; each is a seed.
const schedules = 20

// event is one thing that happens at a time of a schedule, beside the others.
type event struct {
	at   time.Duration
	what string // add, del, lose, gc, kill
	pod  int
	cut  time.Duration // of an add: the plugin that runs then is killed; 0: none
}

func (e event) String() string {
	s := fmt.Sprintf("%5d ms %s", e.at.Milliseconds(), e.what)
	if e.what != "gc" && e.what != "kill" {
		s += fmt.Sprintf(" pod %d", e.pod)
	}
	if e.cut > 0 {
		s += fmt.Sprintf(", killed after %d ms", e.cut.Milliseconds())
	}
	return s
}

// schedule is what happens to three pods: each comes and may go or be lost, a
// third of their ADDs is killed somewhere; GC and a kill of the daemon fall
// between. In the guest an ADD takes half a second.
func schedule(seed uint64) []event {
	r := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // a schedule is to be repeatable
	ms := func(n int) time.Duration { return time.Duration(r.IntN(n)) * time.Millisecond }
	var out []event
	for p := range 3 {
		add := event{at: ms(2000), what: "add", pod: p}
		if r.IntN(3) == 0 {
			add.cut = 50*time.Millisecond + ms(600)
		}
		out = append(out, add)
		if r.IntN(3) > 0 {
			what := "del"
			if r.IntN(3) == 0 {
				what = "lose"
			}
			out = append(out, event{at: add.at + ms(1200), what: what, pod: p})
		}
	}
	out = append(out, event{at: ms(1500), what: "kill"})
	if r.IntN(2) == 0 {
		out = append(out, event{at: ms(2500), what: "gc"})
	}
	slices.SortFunc(out, func(a, b event) int { return int(a.at - b.at) })
	return out
}

func text(list []event) string {
	var b strings.Builder
	for _, e := range list {
		fmt.Fprintf(&b, "  %s\n", e)
	}
	return b.String()
}

// run is one schedule on a node.
type run struct {
	t     *testing.T
	h     *host
	seed  uint64
	env   []string
	mu    sync.Mutex // of the fields below
	pods  [3]*pod
	live  map[string]string // who got an answer, with its groups
	lost  map[int]bool
	tally *tally
}

type tally struct{ adds, vain, cut, dels, lost, gcs, kills int }

func kinds() [][]string { return [][]string{{"sg-red", "sg-red-probes"}, {"sg-blue"}, nil} }

// The chain under ADD, DEL, GC and kills of the daemon and of plugins, at random,
// with real links: after each schedule kernel, books and EC2 have what the pods
// have that live, and after their DELs the node is as it was.
func TestVLANSchedulesOfTheChain(t *testing.T) {
	w := newWorld(t, "testdata/groups.yaml")
	h := w.node(t, "node-a")
	for api, d := range map[string]string{"CreateNetworkInterface": "60ms", "AssociateTrunkInterface": "60ms", "DisassociateTrunkInterface": "60ms"} {
		must(t, w.Sim(t.Context(), nil, "fault", api, "--latency", d, "--reply-latency", d))
	}
	env := []string{"BRANCH_ENI_COOLDOWN=1", "POD_SECURITY_GROUP_ENFORCING_MODE=" + nodefacts.ModeStrict}
	h.boot(t, env...)
	base := h.bare(t)
	var sum tally
	begin := time.Now()
	for seed := range uint64(schedules) {
		r := &run{t: t, h: h, seed: seed, env: env, live: map[string]string{}, lost: map[int]bool{}, tally: &sum}
		if err := r.play(base); err != nil {
			t.Fatalf("seed %d: %v\nof\n%s", seed, err, text(schedule(seed)))
		}
	}
	t.Logf("%d schedules in %.0f s: %d ADDs served, %d in vain, %d of them killed; %d DELs, %d pods lost, %d GCs, %d kills of the daemon",
		schedules, time.Since(begin).Seconds(), sum.adds, sum.vain, sum.cut, sum.dels, sum.lost, sum.gcs, sum.kills)
	if sum.adds < schedules || sum.cut == 0 || sum.lost == 0 || sum.kills < schedules {
		t.Error("too little happened to prove anything")
	}
}

// play lets the schedule happen, compares, ends the pods, and compares again.
func (r *run) play(base bare) error {
	ctx := r.t.Context()
	for i := range r.pods {
		var wish map[string]string
		if groups := kinds()[(i+int(r.seed))%3]; groups != nil { //nolint:gosec // below 20
			wish = asking(groups...)
		}
		var err error
		if r.pods[i], err = r.h.sandbox(fmt.Sprintf("s%d-%d", r.seed, i), wish); err != nil {
			return err
		}
	}
	var all sync.WaitGroup
	added := [3]chan struct{}{make(chan struct{}), make(chan struct{}), make(chan struct{})}
	var errs []error
	begin := time.Now()
	for _, e := range schedule(r.seed) {
		all.Go(func() {
			time.Sleep(time.Until(begin.Add(e.at)))
			if e.what == "del" || e.what == "lose" {
				<-added[e.pod] // a runtime does one thing with a pod at a time
			}
			err := r.happen(ctx, e)
			if e.what == "add" {
				close(added[e.pod])
			}
			if err != nil {
				r.mu.Lock()
				defer r.mu.Unlock()
				errs = append(errs, fmt.Errorf("%s: %w", e, err))
			}
		})
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if err := r.afterwards(ctx); err != nil {
		return err
	}
	for i, p := range r.pods {
		if err := r.end(ctx, i, p); err != nil {
			return err
		}
	}
	if err := within(ctx, base.same); err != nil {
		return err
	}
	return within(ctx, func() error { return r.h.agrees(ctx, nil) })
}

// within waits until f succeeds; what heals does so in a moment.
func within(ctx context.Context, f func() error) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return lab.Poll(ctx, f)
}

// afterwards collects the pods that were lost, and looks at those that live.
func (r *run) afterwards(ctx context.Context) error {
	if err := r.h.collect(ctx, r.survivors()...); err != nil {
		return fmt.Errorf("GC: %w", err)
	}
	err := within(ctx, func() error {
		want := map[string]string{}
		for id, groups := range r.live {
			if groups != "" {
				want[id] = groups
			}
		}
		return r.h.agrees(ctx, want)
	})
	for _, p := range r.pods {
		if _, ok := r.live[p.name]; !ok {
			continue
		}
		err = errors.Join(err, within(ctx, func() error { return p.check(ctx) }))
	}
	return err
}

// survivors are the pods that live or are being added.
func (r *run) survivors() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for i, p := range r.pods {
		if !r.lost[i] {
			out = append(out, p.name)
		}
	}
	return out
}

func (r *run) end(ctx context.Context, i int, p *pod) error {
	if r.lost[i] {
		return nil
	}
	if err := p.del(ctx); err != nil {
		return fmt.Errorf("DEL of %s in the end: %w", p.name, err)
	}
	return p.gone()
}

// happen carries an event out.
func (r *run) happen(ctx context.Context, e event) error {
	switch e.what {
	case "add":
		return r.add(ctx, e, r.pods[e.pod])
	case "gc":
		r.count(func(t *tally) { t.gcs++ })
		_ = r.h.collect(ctx, r.survivors()...) // with the daemon away it fails, and a runtime asks again
		return nil
	case "kill":
		r.count(func(t *tally) { t.kills++ })
		r.h.kill()
		return r.h.start(r.t, r.env...)
	}
	p := r.pods[e.pod]
	r.mu.Lock()
	delete(r.live, p.name)
	r.lost[e.pod] = r.lost[e.pod] || e.what == "lose"
	r.mu.Unlock()
	if e.what == "lose" { // its sandbox goes, and no DEL comes
		r.count(func(t *tally) { t.lost++ })
		return p.gone()
	}
	r.count(func(t *tally) { t.dels++ })
	return p.del(ctx)
}

func (r *run) count(f func(*tally)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(r.tally)
}

func (r *run) add(ctx context.Context, e event, p *pod) error {
	limit := ctx
	if e.cut > 0 {
		var cancel context.CancelFunc
		limit, cancel = context.WithTimeout(ctx, e.cut)
		defer cancel()
	}
	err := p.add(limit)
	r.count(func(t *tally) {
		switch {
		case err == nil:
			t.adds++
			r.live[p.name] = groupsOf(p)
		case limit.Err() != nil:
			t.cut++
			t.vain++
		default:
			t.vain++
		}
	})
	if err == nil {
		return nil
	}
	return p.del(ctx) // as every runtime does
}

// groupsOf are the groups that the pod asked for, as the books have them.
func groupsOf(p *pod) string {
	groups := strings.Split(p.wish[podGroups], ",")
	slices.Sort(groups)
	return strings.Join(groups, ",")
}
