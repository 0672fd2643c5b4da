package engine

import (
	"context"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/pool"
	"github.com/vpcchain/vpcchain/daemon/internal/recent"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// logAdd says how an ADD ended; the allocation is that of one that went well.
func (e *Engine) logAdd(ctx context.Context, a vpcnet.Attachment, pod pool.Pod, got pool.Allocation, began time.Time, err error) {
	who, took := whose(a, pod), time.Since(began)
	if err != nil {
		e.Log.WarnContext(ctx, "ADD: no address", "pod", who, "took", took, "error", err)
		return
	}
	e.Log.Log(ctx, recent.Pod, "ADD: address given", "pod", who, "address", got.Addr, "eni", got.ENI, "took", took)
}

// logRelease says that an address is free again, be it by DEL, by GC, or because
// nobody uses it any more.
func (e *Engine) logRelease(h pool.Allocation) {
	e.Log.Log(context.Background(), recent.Pod, "DEL: address released", "pod", whose(h.Attachment, h.Pod), "address", h.Addr, "eni", h.ENI)
}

// whose is a pod by the name that an operator knows.
func whose(a vpcnet.Attachment, pod pool.Pod) string {
	if pod.Name == "" {
		return a.String()
	}
	return pod.Namespace + "/" + pod.Name
}
