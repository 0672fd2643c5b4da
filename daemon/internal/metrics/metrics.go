// Package metrics counts and measures what vpc-ipamd does, and shows it to
// Prometheus. Figures of the pool are read at each scrape, in one piece; what
// happens is counted where it happens, by methods that never wait.
//
// No label has a value for each pod or address: a node with 735 pods has as many
// series as one with ten. A scrape calls neither EC2 nor the kernel.
package metrics

import (
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/vpcchain/vpcchain/daemon/internal/engine"
	"github.com/vpcchain/vpcchain/daemon/internal/eni"
)

// Engine is the daemon that is measured.
type Engine interface {
	Gauges() engine.Gauges
	Status() engine.Status
}

// Sources are what a scrape reads; all but the engine may be nil.
type Sources struct {
	Engine     Engine
	NATRepairs func() uint64           // of the outbound NAT
	Rooms      func() []eni.SubnetRoom // what EC2 said of subnets
	Reported   func() time.Time        // when vpc-kube reported last; zero: never
	Build      func() (version, goversion string)
}

// Metrics has a registry of its own. Its methods may be called at any time, from
// several goroutines.
type Metrics struct {
	registry *prometheus.Registry
	rpc      *prometheus.HistogramVec
	plugins  *prometheus.HistogramVec
	ec2      *prometheus.HistogramVec
	flights  flights

	mu     sync.Mutex
	counts map[string]map[string]float64 // by metric, then by the values of its labels
}

// New measures the requests, the plugins and EC2; Watch adds the node.
func New() *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(), counts: map[string]map[string]float64{},
		// From the fastest request without a wait to the 60 s that a runtime gives an ADD.
		rpc: histogramOf(rpcDuration, .0005, .001, .002, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60),
		// A plugin takes 2 ms at least, for its start.
		plugins: histogramOf(pluginDuration, .0025, .005, .0075, .01, .015, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60),
		ec2:     histogramOf(ec2Duration, .025, .05, .1, .25, .5, 1, 2.5, 5, 10),
	}
	m.registry.MustRegister(m.rpc, m.plugins, m.ec2, counted{m},
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), collectors.NewGoCollector())
	return m
}

func find(name string) Family {
	for _, f := range Families() {
		if f.Name == name {
			return f
		}
	}
	panic("no metric is called " + name)
}

func histogramOf(name string, buckets ...float64) *prometheus.HistogramVec {
	f := find(name)
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: f.Name, Help: f.Help, Buckets: buckets}, f.Labels)
}

// Watch shows the node as well, from the next scrape on.
func (m *Metrics) Watch(s Sources) { m.registry.MustRegister(newNode(s)) }

// Handler serves the metrics.
func (m *Metrics) Handler() http.Handler {
	shown := promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 20 * time.Second})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.readFlights() // before the collectors, which run beside one another
		shown.ServeHTTP(w, r)
	})
}

// separator of label values in a key; none of them has it.
const separator = "\xff"

// count adds to a counter.
func (m *Metrics) count(name string, by float64, labels ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.counts[name] == nil {
		m.counts[name] = map[string]float64{}
	}
	m.counts[name][strings.Join(labels, separator)] += by
}

// counted shows the counters of count.
type counted struct{ m *Metrics }

// Describe sends nothing: which counters there are shows in time.
func (counted) Describe(chan<- *prometheus.Desc) {}

// Collect sends the counters, also those without labels that have counted nothing.
func (c counted) Collect(ch chan<- prometheus.Metric) {
	out := sender{ch}
	c.m.mu.Lock()
	defer c.m.mu.Unlock()
	for _, f := range append(requestFamilies(), ec2Families()...) {
		if f.Type != counter || f.Name == noAddress {
			continue
		}
		by := c.m.counts[f.Name]
		if len(f.Labels) == 0 && len(by) == 0 {
			out.send(f, 0)
		}
		for key, v := range by {
			var labels []string
			if len(f.Labels) > 0 {
				labels = strings.Split(key, separator)
			}
			out.send(f, v, labels...)
		}
	}
}

// sender makes samples of values, under each name that the metric has.
type sender struct{ ch chan<- prometheus.Metric }

func (s sender) send(f Family, v float64, labels ...string) {
	kind := prometheus.GaugeValue
	if f.Type == counter {
		kind = prometheus.CounterValue
	}
	s.ch <- prometheus.MustNewConstMetric(prometheus.NewDesc(f.Name, f.Help, f.Labels, nil), kind, v, labels...)
	if f.Stock.Name != "" {
		desc := prometheus.NewDesc(f.Stock.Name, "The stock CNI's name for "+f.Name+".", f.Stock.Labels, f.Stock.Always)
		s.ch <- prometheus.MustNewConstMetric(desc, kind, v, labels...)
	}
}
