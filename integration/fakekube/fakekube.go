// Package fakekube is an API server for tests of vpc-kube, with what a client meets
// that follows objects: versions, lists, watches that go on from a version and
// break, history that is forgotten, tokens, a server that is slow or down.
package fakekube

import (
	"encoding/pem"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// Object is JSON of the API.
type Object = map[string]any

// change is an entry of the server's history.
type change struct {
	version  int
	resource string
	kind     string // ADDED, MODIFIED, DELETED
	obj      Object
}

// API is the server, of nodes, pods, ENIConfigs and events. It speaks JSON only,
// and refuses watches that begin with a list, as servers before 1.32 do.
type API struct {
	t   testing.TB
	srv *httptest.Server

	mu        sync.Mutex
	cond      chan struct{} // closed and replaced when anything changes
	version   int
	compacted int // history up to it is forgotten
	objects   map[string]map[string]Object
	history   []change
	token     string
	down      bool
	gate      chan struct{} // lists wait for it; nil: they do not
	epoch     int           // watches of an earlier one end
	selectors map[string]string
	calls     []string // method, path and body of what changes something
	lists     map[string]int
	agents    map[string]bool
}

// New starts a server that takes the token "first", until the test ends.
func New(t testing.TB) *API {
	f := &API{
		t: t, cond: make(chan struct{}), version: 1, objects: map[string]map[string]Object{}, token: "first", selectors: map[string]string{},
		lists: map[string]int{}, agents: map[string]bool{},
	}
	for _, r := range []string{"nodes", "pods", "eniconfigs", "events"} {
		f.objects[r] = map[string]Object{}
	}
	f.srv = httptest.NewTLSServer(f)
	t.Cleanup(func() {
		f.locked(func() { f.epoch++ })
		f.srv.CloseClientConnections()
		f.srv.Close()
	})
	return f
}

// Files are what a client needs: its token, and the authority of the certificate.
func (f *API) Files() (url, token, ca string) {
	dir := f.t.TempDir()
	ca, token = filepath.Join(dir, "ca.crt"), filepath.Join(dir, "token")
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.srv.Certificate().Raw})
	for file, raw := range map[string][]byte{ca: cert, token: []byte("first\n")} {
		if err := os.WriteFile(file, raw, 0o600); err != nil {
			f.t.Fatal(err)
		}
	}
	return f.srv.URL, token, ca
}

func (f *API) locked(what func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	what()
	close(f.cond)
	f.cond = make(chan struct{})
}

func apiVersion(resource string) string {
	if resource == "eniconfigs" {
		return "crd.k8s.amazonaws.com/v1alpha1"
	}
	return "v1"
}

func kindOf(resource string) string {
	return map[string]string{"nodes": "Node", "pods": "Pod", "eniconfigs": "ENIConfig", "events": "Event"}[resource]
}

// Put creates or replaces an object; the key is its name, with the namespace before it.
func (f *API) Put(resource, key string, obj Object) {
	f.locked(func() { f.store(resource, key, obj) })
}

func (f *API) store(resource, key string, obj Object) {
	kind := "ADDED"
	if _, there := f.objects[resource][key]; there {
		kind = "MODIFIED"
	}
	f.version++
	obj = maps.Clone(obj)
	obj["apiVersion"], obj["kind"] = apiVersion(resource), kindOf(resource)
	meta := Object{}
	if m, ok := obj["metadata"].(Object); ok {
		meta = maps.Clone(m)
	}
	ns, name, namespaced := strings.Cut(key, "/")
	if !namespaced {
		ns, name = "", key
	}
	meta["name"], meta["namespace"], meta["uid"], meta["resourceVersion"] = name, ns, "uid-"+name, strconv.Itoa(f.version)
	obj["metadata"] = meta
	f.objects[resource][key] = obj
	f.history = append(f.history, change{f.version, resource, kind, obj})
}

// Remove deletes an object.
func (f *API) Remove(resource, key string) {
	f.locked(func() {
		f.version++
		obj := f.objects[resource][key]
		delete(f.objects[resource], key)
		f.history = append(f.history, change{f.version, resource, "DELETED", obj})
	})
}

// BreakWatches ends all connections that are open.
func (f *API) BreakWatches() {
	f.locked(func() { f.epoch++ })
	f.srv.CloseClientConnections()
}

// Compact forgets the history.
func (f *API) Compact() { f.locked(func() { f.version++; f.compacted = f.version }) }

// SetDown makes the server break off every connection.
func (f *API) SetDown(down bool) {
	f.locked(func() { f.down = down })
	if down {
		f.BreakWatches()
	}
}

// SetToken makes it the only one that is taken.
func (f *API) SetToken(token string) { f.locked(func() { f.token = token }) }

// Hold makes lists wait until the returned function is called.
func (f *API) Hold() (release func()) {
	gate := make(chan struct{})
	f.locked(func() { f.gate = gate })
	return func() { close(gate) }
}

// Define adds a kind that the server does not know, or takes it away.
func (f *API) Define(resource string, known bool) {
	f.locked(func() {
		if known {
			f.objects[resource] = map[string]Object{}
		} else {
			delete(f.objects, resource)
		}
	})
}

// Seen is what clients asked for.
type Seen struct {
	Selectors map[string]string // by resource, and by "<resource> watch"
	Lists     map[string]int
	Agents    []string
}

// Seen copies it.
func (f *API) Seen() Seen {
	f.mu.Lock()
	defer f.mu.Unlock()
	return Seen{maps.Clone(f.selectors), maps.Clone(f.lists), slices.Sorted(maps.Keys(f.agents))}
}

// Written are the calls that change something: method, path and body.
func (f *API) Written() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.calls)
}
