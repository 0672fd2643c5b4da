package schedules

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
)

// request is a line that the test writes to a node's runtime, which answers
// each with a line.
type request struct {
	Verb   string  // prepare, run, look
	Events []event // prepare: what run will carry out
	Start  int64   // run: when, Unix time in ns
	Peer   netip.Addr
}

// report is what came of the events so far.
type report struct {
	Adds, Vain, Dels int
	Wrong            []string
	Live             map[string]netip.Addr // by container id
}

// runtime is what a container runtime is to the plugins, and a view of the kernel.
type runtime struct {
	bin  string
	cni  *libcni.CNIConfig
	list *libcni.NetworkConfigList
	peer netip.Addr

	events []event
	pods   map[int]*pod

	mu     sync.Mutex
	report report
	rested map[netip.Addr]time.Time // when the pod that had it began to go
}

type pod struct {
	id    string
	added chan struct{} // closed when the ADD has ended
	addr  netip.Addr    // while it lives
	lost  bool          // it went without a DEL
}

func (p *pod) netns() string { return filepath.Join("/run/netns", p.id) }

// serveRuntime answers requests until their end.
func serveRuntime(bin string, in io.Reader, out io.Writer) error {
	list, err := libcni.LoadNetworkConf("/etc/cni/net.d", "vpc")
	if err != nil {
		return err
	}
	r := &runtime{
		bin: bin, list: list, cni: libcni.NewCNIConfig([]string{bin}, nil), pods: map[int]*pod{}, rested: map[netip.Addr]time.Time{},
		report: report{Live: map[string]netip.Addr{}},
	}
	requests, answers := json.NewDecoder(in), json.NewEncoder(out)
	for {
		var q request
		if err := requests.Decode(&q); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		var answer any
		switch q.Verb {
		case "prepare":
			r.peer = q.Peer
			answer, err = struct{}{}, r.prepare(q.Events)
		case "run":
			answer = r.run(time.Unix(0, q.Start))
		case "look":
			answer, err = r.look()
		default:
			err = fmt.Errorf("unknown request %q", q.Verb)
		}
		if err != nil {
			return err
		}
		if err := answers.Encode(answer); err != nil {
			return err
		}
	}
}

// prepare makes the pods' namespaces, so that only the plugins take time later.
func (r *runtime) prepare(events []event) error {
	r.events = events
	for _, e := range events {
		if e.What != "add" {
			continue
		}
		p := &pod{id: fmt.Sprintf("pod%d", e.Pod), added: make(chan struct{})}
		r.pods[e.Pod] = p
		if err := command("ip", "netns", "add", p.id); err != nil {
			return err
		}
	}
	return nil
}

func command(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %v: %w: %s", name, args, err, out)
	}
	return nil
}

// run carries the events out, each at its time beside the others.
func (r *runtime) run(start time.Time) report {
	var all sync.WaitGroup
	for _, e := range r.events {
		all.Go(func() {
			time.Sleep(time.Until(start.Add(e.At)))
			switch e.What {
			case "add":
				r.add(r.pods[e.Pod])
			case "gc":
				r.collect()
			default:
				r.remove(r.pods[e.Pod], e.What == "lose")
			}
		})
	}
	all.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.pods {
		if p.addr.IsValid() {
			r.report.Live[p.id] = p.addr
		}
	}
	return r.report
}

// wrong notes a violation; the caller does not hold the lock.
func (r *runtime) wrong(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report.Wrong = append(r.report.Wrong, time.Now().Format("15:04:05.000 ")+fmt.Sprintf(format, args...))
}

func (p *pod) conf() *libcni.RuntimeConf {
	return &libcni.RuntimeConf{
		ContainerID: p.id, NetNS: p.netns(), IfName: "eth0",
		Args: [][2]string{{"IgnoreUnknown", "1"}, {"K8S_POD_NAMESPACE", "default"}, {"K8S_POD_NAME", p.id}},
	}
}

// verbLimit is longer than any verb may take; the plugins give up before.
const verbLimit = 30 * time.Second

func (r *runtime) add(p *pod) {
	defer close(p.added)
	ctx, cancel := context.WithTimeout(context.Background(), verbLimit)
	defer cancel()
	result, err := r.cni.AddNetworkList(ctx, r.list, p.conf())
	if err != nil {
		r.mu.Lock()
		r.report.Vain++
		r.mu.Unlock()
		r.del(p) // as every runtime does
		return
	}
	addr, err := addressOf(result)
	if err != nil {
		r.wrong("ADD of %s: %v", p.id, err)
		return
	}
	r.judge(p, addr)
	if err := r.ping(p); err != nil {
		r.wrong("ADD of %s was answered with %s, but it has no network: %v", p.id, addr, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	p.addr = addr
	r.report.Adds++
}

func addressOf(result types.Result) (netip.Addr, error) {
	got, err := types100.GetResult(result)
	if err != nil || len(got.IPs) != 1 {
		return netip.Addr{}, fmt.Errorf("the result %v: %w", result, err)
	}
	addr, _ := netip.AddrFromSlice(got.IPs[0].Address.IP)
	return addr.Unmap(), nil
}

// judge looks at an address at the moment in which a pod gets it.
func (r *runtime) judge(p *pod, addr netip.Addr) {
	r.mu.Lock()
	var texts []string
	for _, o := range r.pods {
		if o.addr == addr {
			texts = append(texts, fmt.Sprintf("%s gets %s, which %s has", p.id, addr, o.id))
		}
	}
	if at, ok := r.rested[addr]; ok && time.Since(at) < cooldown {
		texts = append(texts, fmt.Sprintf("%s gets %s, which was used %v ago", p.id, addr, time.Since(at)))
	}
	r.mu.Unlock()
	for _, t := range texts {
		r.wrong("%s", t)
	}
}

// ping sends a packet from the pod to another host of the VPC and back.
func (r *runtime) ping(p *pod) error {
	return command("nsenter", "--net="+p.netns(), "--", "ping", "-n", "-q", "-c1", "-W2", r.peer.String())
}

// remove takes a pod away when its ADD has ended.
func (r *runtime) remove(p *pod, silently bool) {
	<-p.added
	r.mu.Lock()
	addr := p.addr
	p.addr, p.lost = netip.Addr{}, silently && addr.IsValid()
	if addr.IsValid() {
		r.rested[addr] = time.Now()
	}
	r.mu.Unlock()
	if !addr.IsValid() {
		return
	}
	if !silently {
		r.del(p)
	}
	if err := command("ip", "netns", "del", p.id); err != nil {
		r.wrong("%v", err)
	}
}

// del is a DEL, which must succeed whatever the daemon does.
func (r *runtime) del(p *pod) {
	ctx, cancel := context.WithTimeout(context.Background(), verbLimit)
	defer cancel()
	if err := r.cni.DelNetworkList(ctx, r.list, p.conf()); err != nil {
		r.wrong("DEL of %s: %v", p.id, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report.Dels++
}

// collect is a GC that names every pod that lives or is being added. With the
// daemon away it fails, and a runtime asks again some other time.
func (r *runtime) collect() {
	args := &libcni.GCArgs{}
	r.mu.Lock()
	for _, p := range r.pods {
		adding := false
		select {
		case <-p.added:
		default:
			adding = true
		}
		if adding || p.addr.IsValid() {
			args.ValidAttachments = append(args.ValidAttachments, types.GCAttachment{ContainerID: p.id, IfName: "eth0"})
		}
	}
	r.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), verbLimit)
	defer cancel()
	_ = r.cni.GCNetworkList(ctx, r.list, args)
}
