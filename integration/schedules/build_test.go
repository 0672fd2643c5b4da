package schedules

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// schedule is a node with its settings, and what happens there, all of it made
// from a seed.
type schedule struct {
	seed   uint64
	kind   string   // instance type
	env    []string // of the daemon
	pods   []event  // carried out by the runtime on the node
	others []event  // carried out by the test
}

// event happens at a time after the start.
type event struct {
	At   time.Duration
	What string        // add, del, lose, gc; kill, fault
	Pod  int           // of the first three
	Down time.Duration // kill: until the next daemon is started
	Args []string      // fault: arguments of `vpcsim fault`
}

func (e event) String() string {
	switch e.What {
	case "gc":
		return fmt.Sprintf("%v GC", e.At)
	case "kill":
		return fmt.Sprintf("%v SIGKILL, down for %v", e.At, e.Down)
	case "fault":
		return fmt.Sprintf("%v vpcsim fault %s", e.At, strings.Join(e.Args, " "))
	}
	return fmt.Sprintf("%v %s pod%d", e.At, e.What, e.Pod)
}

func (s schedule) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d: %s, %v\n", s.seed, s.kind, s.env)
	all := slices.Concat(s.pods, s.others)
	slices.SortStableFunc(all, byTime)
	for _, e := range all {
		fmt.Fprintf(&b, "  %s\n", e)
	}
	return b.String()
}

func byTime(a, b event) int { return cmp.Compare(a.At, b.At) }

const (
	window   = 1500 * time.Millisecond // in which everything begins
	cooldown = time.Second             // IP_COOLDOWN_PERIOD
)

// build makes the schedule of a seed.
func build(seed uint64) schedule {
	r := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // a replayable schedule
	s := schedule{seed: seed, kind: pick(r, "t3.small", "t3.medium", "m5.large"), env: settings(r)}
	for i := range 6 + r.IntN(8) {
		s.pod(r, i)
	}
	for range 1 + r.IntN(3) {
		e := event{At: moment(r), What: "kill", Down: pick(r, 0, 50*time.Millisecond, 400*time.Millisecond)}
		if burst := s.pods[r.IntN(len(s.pods))]; r.IntN(2) == 0 {
			e.At = burst.At + time.Duration(r.IntN(200))*time.Millisecond // in the midst of what it set off
		}
		s.others = append(s.others, e)
	}
	for range 1 + r.IntN(3) {
		s.others = append(s.others, fault(r))
	}
	s.others = append(s.others, conditions(r))
	if r.IntN(2) == 0 {
		s.pods = append(s.pods, event{At: moment(r), What: "gc"})
	}
	slices.SortStableFunc(s.pods, byTime)
	slices.SortStableFunc(s.others, byTime)
	return s
}

func pick[T any](r *rand.Rand, values ...T) T { return values[r.IntN(len(values))] }

func moment(r *rand.Rand) time.Duration {
	return time.Duration(r.Int64N(int64(window))).Round(time.Millisecond)
}

// settings are the daemon's; the periods are short, so that a test sees them end.
func settings(r *rand.Rand) []string {
	env := []string{fmt.Sprintf("IP_COOLDOWN_PERIOD=%.0f", cooldown.Seconds()), "ORPHAN_GRACE_PERIOD=1", "SPARE_ENI_PERIOD=5"}
	if r.IntN(3) == 0 {
		env = append(env, "ENABLE_PREFIX_DELEGATION=true")
	}
	switch r.IntN(3) {
	case 0:
		return append(env, fmt.Sprintf("WARM_ENI_TARGET=%d", r.IntN(2)), fmt.Sprintf("WARM_PREFIX_TARGET=%d", r.IntN(2)))
	case 1:
		return append(env, fmt.Sprintf("WARM_IP_TARGET=%d", 1+r.IntN(4)), fmt.Sprintf("MINIMUM_IP_TARGET=%d", r.IntN(8)))
	}
	return append(env, fmt.Sprintf("MINIMUM_IP_TARGET=%d", 1+r.IntN(9)))
}

// pod comes, by itself or right behind the one before; most go again.
func (s *schedule) pod(r *rand.Rand, n int) {
	at := moment(r)
	if len(s.pods) > 0 && r.IntN(3) > 0 {
		at = min(s.pods[len(s.pods)-1].At+time.Duration(r.IntN(30))*time.Millisecond, window)
	}
	add := event{At: at, What: "add", Pod: n}
	if end := r.IntN(8); end < 5 {
		gone := event{At: at + time.Duration(r.Int64N(int64(window))).Round(time.Millisecond), What: "del", Pod: n}
		if end == 0 {
			gone.What = "lose" // without a DEL
		}
		s.pods = append(s.pods, gone)
	}
	s.pods = append(s.pods, add)
}

// fault is one of some calls.
func fault(r *rand.Rand) event {
	action := pick(r, "*", "IMDS", "DescribeNetworkInterfaces", "CreateNetworkInterface", "AttachNetworkInterface",
		"ModifyNetworkInterfaceAttribute", "AssignPrivateIpAddresses", "UnassignPrivateIpAddresses")
	args := []string{action, "--count", fmt.Sprint(1 + r.IntN(4))}
	switch r.IntN(4) {
	case 0:
		args = append(args, "--lost")
	case 1:
		args = append(args, "--latency", fmt.Sprintf("%dms", 50+r.IntN(800)))
	case 2:
		args = append(args, "--reply-latency", fmt.Sprintf("%dms", 50+r.IntN(800)))
	default:
		args = append(args, "--error", pick(r, "RequestLimitExceeded", "InternalError", "Unavailable", "UnauthorizedOperation", "InsufficientFreeAddressesInSubnet"))
	}
	return event{At: moment(r), What: "fault", Args: args}
}

// conditions hold to the end of the schedule.
func conditions(r *rand.Rand) event {
	args := []string{
		"--imds-lag", fmt.Sprintf("%dms", r.IntN(1500)), "--link-delay", fmt.Sprintf("%dms", r.IntN(600)), "--detach-delay", fmt.Sprintf("%dms", r.IntN(800)),
	}
	if r.IntN(3) == 0 {
		args = append(args, "--new-eni-delay", fmt.Sprintf("%dms", r.IntN(400)), "--change-delay", fmt.Sprintf("%dms", r.IntN(800)))
	}
	if r.IntN(2) == 0 {
		args = append(args, "--throttle", fmt.Sprintf("%d/%d", 1+r.IntN(3), 1+r.IntN(4)))
	}
	return event{At: pick(r, 0, moment(r)), What: "fault", Args: args}
}

// latencies make calls long enough for a kill to hit one.
func latencies() [][]string {
	var out [][]string
	for action, d := range map[string]string{
		"CreateNetworkInterface": "80ms", "AttachNetworkInterface": "150ms", "AssignPrivateIpAddresses": "60ms", "*": "15ms",
	} {
		out = append(out, []string{action, "--latency", d})
	}
	return out
}

// calm are the arguments of `vpcsim fault` that end every disturbance.
func calm() []string {
	return []string{"--clear", "--imds-lag", "0s", "--link-delay", "0s", "--detach-delay", "0s", "--new-eni-delay", "0s", "--change-delay", "0s", "--throttle", "off"}
}
