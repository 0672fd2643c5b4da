package kubeapi

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"google.golang.org/grpc"

	"github.com/vpcchain/vpcchain/pkg/ipamapi"
)

// fakeDaemon is vpc-ipamd: it keeps the last report and answers what it is set to.
type fakeDaemon struct {
	mu     sync.Mutex
	last   *ipamapi.KubeReport
	count  int
	answer *ipamapi.KubeReply
	fail   error
}

func (d *fakeDaemon) Report(_ context.Context, r *ipamapi.KubeReport, _ ...grpc.CallOption) (*ipamapi.KubeReply, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fail != nil {
		return nil, d.fail
	}
	d.last, d.count = r, d.count+1
	answer := d.answer
	if answer == nil {
		answer = &ipamapi.KubeReply{}
	}
	return answer, nil
}

func (d *fakeDaemon) set(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f()
}

// says is the last report in short.
func (d *fakeDaemon) says() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.last == nil {
		return "nothing"
	}
	out := "node unknown"
	if n := d.last.GetNode(); n != nil {
		out = fmt.Sprintf("zone %s, config %s, %d taints", n.GetLabels()["zone"], n.GetAnnotations()["k8s.amazonaws.com/eniConfig"], len(n.GetTaints()))
	}
	if c := d.last.GetEniConfigs(); c == nil {
		out += "; configs unknown"
	} else {
		var all []string
		for _, one := range c.GetList() {
			all = append(all, one.GetName()+"="+string(one.GetSpec()))
		}
		slices.Sort(all)
		out += "; " + strings.Join(all, " ")
	}
	out += ";"
	for _, p := range d.last.GetPending() {
		out += " " + p.GetNamespace() + "/" + p.GetName() + "/" + p.GetUid()
	}
	return out
}
