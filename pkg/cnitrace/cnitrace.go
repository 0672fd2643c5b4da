// Package cnitrace writes what a plugin does into the node's flight recorder: a
// record when a verb begins and one when it ends, with the error that the runtime
// gets. It finds out which trace they belong to. TRACEPARENT says so where the
// runtime gives it; otherwise the plugins of one call share a trace because each
// looks in the recorder for that of the plugin before it, since nothing else goes
// from one plugin to the next: libcni drops keys of a result that it does not
// know, and an environment is that of the runtime.
//
// STATUS is not recorded: runtimes ask it every few seconds of every plugin, and
// two files of it would hold nothing else.
package cnitrace

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"strconv"
	"time"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"

	"github.com/vpcchain/vpcchain/pkg/flight"
	"github.com/vpcchain/vpcchain/pkg/netconf"
	"github.com/vpcchain/vpcchain/pkg/nodefacts"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// Plugin is a process of a plugin, which runs one verb.
type Plugin struct {
	name   string
	getenv func(string) string
	starts bool
	span   flight.Traceparent
}

// New is for the plugin of that name; getenv is asked for TRACEPARENT.
func New(name string, getenv func(string) string) *Plugin {
	return &Plugin{name: name, getenv: getenv}
}

// Starts says that the plugin is the first of its chain, so that each of its ADDs
// begins a trace where the runtime gave none.
func (p *Plugin) Starts() *Plugin {
	p.starts = true
	return p
}

// Span is the traceparent of the verb under way, for who is called by it; empty
// for one that is not recorded.
func (p *Plugin) Span() string {
	if p.span.IsZero() {
		return ""
	}
	return p.span.String()
}

// Funcs are the verbs, recorded.
func (p *Plugin) Funcs(f skel.CNIFuncs) skel.CNIFuncs {
	f.Add, f.Del, f.Check, f.GC = p.recorded("ADD", f.Add), p.recorded("DEL", f.Del), p.recorded("CHECK", f.Check), p.recorded("GC", f.GC)
	return f
}

func (p *Plugin) recorded(verb string, do func(*skel.CmdArgs) error) func(*skel.CmdArgs) error {
	return func(args *skel.CmdArgs) error {
		rec := flight.Record{Begin: true, Kind: flight.Plugin, Name: p.name, Verb: verb, Start: time.Now()}
		recorder := where(args, &rec)
		pen := recorder.Open()
		defer func() { pen.Close() }()
		rec.Traceparent, rec.Parent = p.place(pen, rec)
		p.span = rec.Traceparent
		pen.Write(rec)
		err := do(args)
		rec.Begin, rec.Duration = false, time.Since(rec.Start)
		if err != nil {
			rec.Code, rec.Error = code(err), err.Error()
		}
		if !pen.OK() { // the daemon may have been started while the plugin waited for it
			pen = recorder.Open()
		}
		pen.Write(rec)
		return err
	}
}

// place is the span of this call, and what it stands below.
func (p *Plugin) place(pen flight.Pen, rec flight.Record) (flight.Traceparent, flight.SpanID) {
	parent, ok := flight.Parse(p.getenv("TRACEPARENT"))
	if !ok && (!p.starts || rec.Verb != "ADD") {
		parent, ok = pen.Find(rec.Attachment, rec.Verb, rec.Name, rec.Start)
	}
	if !ok {
		return flight.New(), flight.SpanID{}
	}
	return parent.Child(), parent.Span
}

// where completes the record by what the runtime says, and is the recorder of the
// daemon whose socket or facts the configuration names.
func where(args *skel.CmdArgs, rec *flight.Record) flight.Recorder {
	var conf struct {
		Name      string `json:"name"`
		Socket    string `json:"socket"`
		NodeFacts string `json:"nodeFacts"`
		IPAM      struct {
			Socket string `json:"socket"`
		} `json:"ipam"`
	}
	_ = json.Unmarshal(args.StdinData, &conf) // the verb says what is wrong with it
	rec.Attachment = vpcnet.Attachment{Network: conf.Name, ContainerID: args.ContainerID, IfName: args.IfName}
	if pod := netconf.PodOf(args.Args); pod.Name != "" {
		rec.Pod = pod.Namespace + "/" + pod.Name
	}
	dir := nodefacts.Dir
	for _, path := range []string{conf.Socket, conf.NodeFacts, conf.IPAM.Socket} {
		if filepath.IsAbs(path) {
			dir = filepath.Dir(path)
			break
		}
	}
	return flight.Recorder{Dir: flight.Dir(dir)}
}

// code is the number that the runtime gets.
func code(err error) string {
	if e, ok := errors.AsType[*types.Error](err); ok {
		return strconv.FormatUint(uint64(e.Code), 10)
	}
	return strconv.Itoa(int(types.ErrInternal))
}
