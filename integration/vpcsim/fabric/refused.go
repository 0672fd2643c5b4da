package fabric

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"net/netip"
	"os/exec"
	"slices"
	"time"

	"github.com/vpcchain/vpcchain/integration/vpcsim/netns"
)

// Refused is a kind of packet that the VPC dropped, as the kernel counted it.
type Refused struct {
	ENI      string     `json:"eni"` // empty: it came from outside
	Host     string     `json:"host"`
	Device   int        `json:"device"`
	Reason   string     `json:"reason"`
	Source   netip.Addr `json:"source"`
	Dest     netip.Addr `json:"dest"`
	Protocol string     `json:"protocol"`
	Port     int        `json:"port,omitempty"` // destination port
	Packets  int        `json:"packets"`
	Last     time.Time  `json:"last"`
}

// recordLife is the time-out of the sets' elements, renewed by each packet:
// what is left of it tells when the last packet came.
const recordLife = 24 * time.Hour

// Refused lists the dropped packets since the last reset, the latest last.
func (f *Fabric) Refused() ([]Refused, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := []Refused{}
	for _, proto := range []string{"tcp", "udp", "other"} {
		raw, err := f.nftOutput("-j", "list", "set", "ip", "vpc", "refused_"+proto)
		if err != nil {
			return nil, err
		}
		part, err := f.parseRefused(raw, proto, time.Now())
		if err != nil {
			return nil, err
		}
		out = append(out, part...)
	}
	slices.SortFunc(out, func(a, b Refused) int { return cmp.Or(a.Last.Compare(b.Last), a.Dest.Compare(b.Dest)) })
	return out, nil
}

// ResetRefused forgets the dropped packets.
func (f *Fabric) ResetRefused() error {
	return f.nft("flush set ip vpc refused_tcp\nflush set ip vpc refused_udp\nflush set ip vpc refused_other\n")
}

func (f *Fabric) nftOutput(args ...string) (out []byte, err error) {
	err = netns.Do(f.ns, func() error {
		cmd := exec.Command("nft", args...)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		if out, err = cmd.Output(); err != nil {
			return fmt.Errorf("nft %v: %w: %s", args, err, stderr.String())
		}
		return nil
	})
	return out, err
}

// parseRefused reads `nft -j list set`.
func (f *Fabric) parseRefused(raw []byte, proto string, now time.Time) ([]Refused, error) {
	var doc struct {
		Nftables []struct {
			Set *struct {
				Elem []struct {
					Elem struct {
						Val     struct{ Concat []any }
						Expires int
						Counter struct{ Packets int }
					}
				}
			}
		}
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		return nil, fmt.Errorf("reading the refused packets: %w", err)
	}
	var out []Refused
	for _, n := range doc.Nftables {
		if n.Set == nil {
			continue
		}
		for _, e := range n.Set.Elem {
			r, ok := f.record(e.Elem.Val.Concat, proto)
			if !ok {
				return nil, fmt.Errorf("reading the refused packets: unexpected element %v", e.Elem.Val.Concat)
			}
			r.Packets = e.Elem.Counter.Packets
			r.Last = now.Add(time.Duration(e.Elem.Expires)*time.Second - recordLife)
			out = append(out, r)
		}
	}
	return out, nil
}

func (f *Fabric) record(key []any, proto string) (Refused, bool) {
	if len(key) < 5 {
		return Refused{}, false
	}
	mark, ok := number(key[0])
	link, _ := key[1].(string)
	src, err1 := netip.ParseAddr(fmt.Sprint(key[2]))
	dst, err2 := netip.ParseAddr(fmt.Sprint(key[3]))
	if !ok || err1 != nil || err2 != nil {
		return Refused{}, false
	}
	r := Refused{Reason: reasonText(mark), Source: src, Dest: dst, Protocol: proto}
	if proto == "other" {
		r.Protocol = fmt.Sprint(key[4])
	} else {
		r.Port, _ = number(key[4])
	}
	for id, p := range f.ports {
		if p.name == link {
			r.ENI, r.Host, r.Device = id, p.Host, p.Device
		}
	}
	for _, e := range f.external {
		if portLink("x", e.Name) == link {
			r.Host = e.Name
		}
	}
	return r, true
}

func number(v any) (int, bool) {
	switch n := v.(type) {
	case float64:
		return int(n), true
	case string:
		var i int
		_, err := fmt.Sscanf(n, "%v", &i)
		return i, err == nil
	}
	return 0, false
}
