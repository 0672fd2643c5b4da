package cli

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/vpcchain/vpcchain/integration/vpcsim/ec2"
	"github.com/vpcchain/vpcchain/integration/vpcsim/server"
	"github.com/vpcchain/vpcchain/integration/vpcsim/topology"
)

// change is one flag that changes the conditions.
type change func(*topology.Conditions) error

func (a *app) fault(args []string) error {
	f, reset := ec2.Fault{}, false
	a.fs.DurationVar(&f.Latency, "latency", 0, "")
	a.fs.DurationVar(&f.ReplyLatency, "reply-latency", 0, "")
	a.fs.StringVar(&f.Code, "error", "", "")
	a.fs.BoolVar(&f.Lost, "lost", false, "")
	a.fs.IntVar(&f.Count, "count", 0, "")
	a.fs.BoolVar(&reset, "clear", false, "")
	var changes []change
	a.conditionFlags(&changes)
	pos, err := a.parse(args)
	if err != nil {
		return err
	}
	if len(pos) > 1 {
		return fmt.Errorf("usage: vpcsim fault ACTION [--latency D] [--error CODE] [--lost] [--count N]; `vpcsim help` lists the other flags")
	}
	if len(pos) == 0 && !reset && len(changes) == 0 {
		return a.printFaults()
	}
	if reset {
		if err := server.Call(a.ctx, a.dir(), "DELETE", "/faults", nil, nil); err != nil {
			return err
		}
	}
	if err := a.change(changes); err != nil {
		return err
	}
	if len(pos) == 0 {
		return nil
	}
	f.Action = pos[0]
	return server.Call(a.ctx, a.dir(), "PUT", "/faults", f, nil)
}

// conditionFlags adds a flag for each condition; those that are given append to changes.
func (a *app) conditionFlags(changes *[]change) {
	for name, field := range map[string]func(*topology.Conditions) *topology.Duration{
		"imds-lag":      func(c *topology.Conditions) *topology.Duration { return &c.IMDSLag },
		"link-delay":    func(c *topology.Conditions) *topology.Duration { return &c.LinkDelay },
		"detach-delay":  func(c *topology.Conditions) *topology.Duration { return &c.DetachDelay },
		"new-eni-delay": func(c *topology.Conditions) *topology.Duration { return &c.NewENIDelay },
		"change-delay":  func(c *topology.Conditions) *topology.Duration { return &c.ChangeDelay },
	} {
		a.fs.Func(name, "", func(text string) error {
			*changes = append(*changes, func(c *topology.Conditions) error { return field(c).UnmarshalJSON([]byte(strconv.Quote(text))) })
			return nil
		})
	}
	for name, field := range map[string]func(*topology.Conditions) *int{
		"page-size": func(c *topology.Conditions) *int { return &c.PageSize },
		"eni-quota": func(c *topology.Conditions) *int { return &c.ENIQuota },
	} {
		a.fs.Func(name, "", func(text string) error {
			n, err := strconv.Atoi(text)
			*changes = append(*changes, func(c *topology.Conditions) error { *field(c) = n; return nil })
			return err
		})
	}
	for name, set := range map[string]func(*topology.Conditions, string) error{"throttle": throttle, "throttle-account": throttleAccount} {
		a.fs.Func(name, "", func(text string) error {
			*changes = append(*changes, func(c *topology.Conditions) error { return set(c, text) })
			return nil
		})
	}
}

// throttle is --throttle: off, EC2's own buckets, or one size for every API.
func throttle(c *topology.Conditions, text string) error {
	if text == "off" {
		c.Throttling = nil
		return nil
	}
	t := topology.Throttling{}
	if c.Throttling != nil {
		t.Account = c.Throttling.Account
	}
	if text != "ec2" {
		b, err := parseBucket(text)
		if err != nil {
			return err
		}
		t.Actions = map[string]topology.Bucket{"*": b}
	}
	c.Throttling = &t
	return nil
}

func throttleAccount(c *topology.Conditions, text string) error {
	if text == "off" && c.Throttling == nil {
		return nil
	}
	t := topology.Throttling{}
	if c.Throttling != nil {
		t = *c.Throttling
	}
	t.Account = nil
	if text != "off" {
		b, err := parseBucket(text)
		if err != nil {
			return err
		}
		t.Account = &b
	}
	c.Throttling = &t
	return nil
}

func parseBucket(text string) (topology.Bucket, error) {
	burst, rate, ok := strings.Cut(text, "/")
	n, err := strconv.Atoi(burst)
	r, rerr := strconv.ParseFloat(rate, 64)
	if !ok || err != nil || rerr != nil {
		return topology.Bucket{}, fmt.Errorf("token bucket %q: write its size and what comes back a second, such as 50/5", text)
	}
	return topology.Bucket{Burst: n, PerSecond: r}, nil
}

// change applies the changes to the conditions in force.
func (a *app) change(changes []change) error {
	if len(changes) == 0 {
		return nil
	}
	c, err := a.conditions()
	if err != nil {
		return err
	}
	for _, f := range changes {
		if err := f(&c); err != nil {
			return err
		}
	}
	return server.Call(a.ctx, a.dir(), "PUT", "/conditions", c, nil)
}

func (a *app) conditions() (topology.Conditions, error) {
	var topo topology.Topology
	err := server.Call(a.ctx, a.dir(), "GET", "/topology", nil, &topo)
	return topo.Conditions, err
}

func (a *app) printFaults() error {
	var faults []ec2.Fault
	if err := server.Call(a.ctx, a.dir(), "GET", "/faults", nil, &faults); err != nil {
		return err
	}
	c, err := a.conditions()
	if err != nil {
		return err
	}
	return a.print(faults, func(w io.Writer) {
		for _, f := range faults {
			fmt.Fprintf(w, "%s latency=%s reply-latency=%s error=%q lost=%v count=%d\n", f.Action, f.Latency, f.ReplyLatency, f.Code, f.Lost, f.Count)
		}
		fmt.Fprintln(w, "conditions", c)
	})
}

func (a *app) detach(args []string) error { return a.onENI("POST", "/detach", args) }

func (a *app) delete(args []string) error { return a.onENI("DELETE", "", args) }

func (a *app) onENI(method, suffix string, args []string) error {
	pos, err := a.parse(args)
	if err != nil {
		return err
	}
	if len(pos) != 1 || !strings.HasPrefix(pos[0], "eni-") {
		return fmt.Errorf("give the id of one ENI; `vpcsim topology` lists them")
	}
	return server.Call(a.ctx, a.dir(), method, "/enis/"+pos[0]+suffix, nil, nil)
}
