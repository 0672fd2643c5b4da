package timeline

import (
	"strings"
	"time"

	"github.com/vpcchain/vpcchain/pkg/flight"
)

// View is a call as JSON; its names are stable.
type View struct {
	Trace       string     `json:"trace"`
	Verb        string     `json:"verb"` // ADD, DEL, CHECK, GC
	Network     string     `json:"network"`
	ContainerID string     `json:"containerID,omitempty"`
	IfName      string     `json:"ifname,omitempty"`
	Namespace   string     `json:"namespace,omitempty"`
	Pod         string     `json:"pod,omitempty"`
	Start       time.Time  `json:"start"`
	DurationNS  int64      `json:"durationNS"`
	BetweenNS   int64      `json:"betweenNS"` // in which no plugin of this project ran
	State       State      `json:"state"`
	Spans       []SpanView `json:"spans"`
}

// SpanView is a part of a call.
type SpanView struct {
	Span       string      `json:"span"`
	Parent     string      `json:"parent,omitempty"`
	Trace      string      `json:"trace"` // that of shared work is its own
	Kind       flight.Kind `json:"kind"`  // plugin, rpc, wait, action, ec2
	Name       string      `json:"name"`
	Depth      int         `json:"depth"`
	Shared     bool        `json:"shared"`   // work of the daemon for all that waited
	OffsetNS   int64       `json:"offsetNS"` // from the begin of the call; negative: before it
	DurationNS *int64      `json:"durationNS"`
	State      State       `json:"state"` // ok, failed, open
	Code       string      `json:"code,omitempty"`
	Error      string      `json:"error,omitempty"`
	Text       string      `json:"text,omitempty"`
	RequestID  string      `json:"requestID,omitempty"`
	Attempts   int         `json:"attempts,omitempty"`
}

// Views are the calls for a program.
func Views(calls []Call) []View {
	out := []View{}
	for _, c := range calls {
		v := View{
			Trace: c.Trace.String(), Verb: c.Verb, Network: c.Attachment.Network, ContainerID: c.Attachment.ContainerID, IfName: c.Attachment.IfName,
			Start: c.Start.UTC(), DurationNS: int64(c.Duration), BetweenNS: int64(c.Between()), State: c.State(), Spans: []SpanView{},
		}
		v.Namespace, v.Pod, _ = strings.Cut(c.Pod, "/")
		for _, s := range c.Spans {
			v.Spans = append(v.Spans, s.view(c.Start))
		}
		out = append(out, v)
	}
	return out
}

func (s Span) view(begin time.Time) SpanView {
	v := SpanView{
		Span: s.Span.String(), Trace: s.Trace.String(), Kind: s.Kind, Name: s.Name, Depth: s.Depth, Shared: s.Shared,
		OffsetNS: int64(s.Start.Sub(begin)), State: s.State, Code: s.Code, Error: s.Error, Text: s.Text, RequestID: s.RequestID, Attempts: s.Attempts,
	}
	if !s.Parent.IsZero() {
		v.Parent = s.Parent.String()
	}
	if s.State != Open {
		v.DurationNS = new(int64(s.Duration))
	}
	return v
}
