package kubeapi

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"

	"github.com/vpcchain/vpcchain/pkg/ipamapi"
)

// object is JSON of the API.
type object = map[string]any

// change is an entry of the server's history.
type change struct {
	version  int
	resource string
	kind     string // ADDED, MODIFIED, DELETED
	obj      object
}

// fakeAPI is an API server for three resources: versions, lists, watches that go
// on from a version, history that is forgotten, tokens. It speaks JSON only, and
// refuses watches that begin with a list, as servers before 1.32 do.
type fakeAPI struct {
	t   *testing.T
	srv *httptest.Server

	mu        sync.Mutex
	cond      chan struct{} // closed and replaced when anything changes
	version   int
	compacted int // history up to it is forgotten
	objects   map[string]map[string]object
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

func newAPI(t *testing.T) *fakeAPI {
	f := &fakeAPI{
		t: t, cond: make(chan struct{}), version: 1, objects: map[string]map[string]object{}, token: "first", selectors: map[string]string{},
		lists: map[string]int{}, agents: map[string]bool{},
	}
	for _, r := range []string{"nodes", "pods", "eniconfigs", "events"} {
		f.objects[r] = map[string]object{}
	}
	f.srv = httptest.NewTLSServer(f)
	t.Cleanup(func() {
		f.change(func() { f.epoch++ })
		f.srv.CloseClientConnections()
		f.srv.Close()
	})
	return f
}

// options of a client; the token file is returned too.
func (f *fakeAPI) options() Options {
	dir := f.t.TempDir()
	ca, token := filepath.Join(dir, "ca.crt"), filepath.Join(dir, "token")
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.srv.Certificate().Raw})
	for file, raw := range map[string][]byte{ca: cert, token: []byte("first\n")} {
		if err := os.WriteFile(file, raw, 0o600); err != nil {
			f.t.Fatal(err)
		}
	}
	return Options{Server: f.srv.URL, TokenFile: token, CAFile: ca, Agent: "vpc-kube"}
}

func (f *fakeAPI) change(what func()) {
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

// put creates or replaces an object; the key is its name, with the namespace before it.
func (f *fakeAPI) put(resource, key string, obj object) {
	f.change(func() { f.store(resource, key, obj) })
}

func (f *fakeAPI) store(resource, key string, obj object) {
	kind := "ADDED"
	if _, there := f.objects[resource][key]; there {
		kind = "MODIFIED"
	}
	f.version++
	obj = maps.Clone(obj)
	obj["apiVersion"], obj["kind"] = apiVersion(resource), kindOf(resource)
	meta := object{}
	if m, ok := obj["metadata"].(object); ok {
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

func (f *fakeAPI) remove(resource, key string) {
	f.change(func() {
		f.version++
		obj := f.objects[resource][key]
		delete(f.objects[resource], key)
		f.history = append(f.history, change{f.version, resource, "DELETED", obj})
	})
}

// breakWatches ends all connections that are open.
func (f *fakeAPI) breakWatches() {
	f.change(func() { f.epoch++ })
	f.srv.CloseClientConnections()
}

// compact forgets the history.
func (f *fakeAPI) compact() { f.change(func() { f.version++; f.compacted = f.version }) }

func (f *fakeAPI) setDown(down bool) {
	f.change(func() { f.down = down })
	if down {
		f.breakWatches()
	}
}

func (f *fakeAPI) refuse(w http.ResponseWriter, code int, why, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(status(code, why, message))
}

func status(code int, why, message string) object {
	return object{"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": why, "message": message}
}

// ServeHTTP is the server.
func (f *fakeAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	down, token := f.down, f.token
	f.agents[r.UserAgent()] = true
	f.mu.Unlock()
	if down {
		panic(http.ErrAbortHandler)
	}
	if r.Header.Get("Authorization") != "Bearer "+token {
		f.refuse(w, http.StatusUnauthorized, "Unauthorized", "Unauthorized")
		return
	}
	resource, key := parsePath(r.URL.Path)
	switch {
	case f.objects[resource] == nil:
		f.refuse(w, http.StatusNotFound, "NotFound", "the server could not find the requested resource")
	case r.Method == http.MethodGet && r.URL.Query().Get("watch") != "":
		f.watch(w, r, resource)
	case r.Method == http.MethodGet:
		f.list(w, r, resource)
	default:
		f.write(w, r, resource, key)
	}
}

// parsePath is the resource of a path, and the key of the object or namespace.
func parsePath(path string) (resource, key string) {
	rest := strings.TrimPrefix(strings.TrimPrefix(path, "/api/v1/"), "/apis/crd.k8s.amazonaws.com/v1alpha1/")
	p := strings.Split(rest, "/")
	if p[0] == "namespaces" && len(p) > 2 {
		return p[2], strings.Join(append(p[1:2], p[3:]...), "/")
	}
	if len(p) > 1 {
		return p[0], p[1]
	}
	return p[0], ""
}

func (f *fakeAPI) list(w http.ResponseWriter, r *http.Request, resource string) {
	f.mu.Lock()
	gate := f.gate
	f.lists[resource]++
	f.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-r.Context().Done():
			return
		}
	}
	f.mu.Lock()
	f.selectors[resource] = r.URL.Query().Get("fieldSelector")
	items := slices.Collect(maps.Values(f.objects[resource]))
	out := object{
		"kind": kindOf(resource) + "List", "apiVersion": apiVersion(resource), "metadata": object{"resourceVersion": strconv.Itoa(f.version)}, "items": items,
	}
	f.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(out)
}

func (f *fakeAPI) watch(w http.ResponseWriter, r *http.Request, resource string) {
	q := r.URL.Query()
	if q.Get("sendInitialEvents") != "" {
		f.refuse(w, http.StatusUnprocessableEntity, "Invalid", "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled")
		return
	}
	from, _ := strconv.Atoi(q.Get("resourceVersion")) // the client has it of a list
	f.mu.Lock()
	epoch := f.epoch
	f.selectors[resource+" watch"] = q.Get("fieldSelector")
	f.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	out := json.NewEncoder(w)
	for {
		f.mu.Lock()
		cond, over, gone := f.cond, f.epoch != epoch, from < f.compacted
		var news []change
		for _, c := range f.history {
			if c.version > from && c.resource == resource && !gone {
				news = append(news, c)
			}
		}
		f.mu.Unlock()
		if over {
			return
		}
		if gone {
			_ = out.Encode(object{"type": "ERROR", "object": status(http.StatusGone, "Expired", "too old resource version")})
			return
		}
		for _, c := range news {
			_ = out.Encode(object{"type": c.kind, "object": c.obj})
			from = c.version
		}
		w.(http.Flusher).Flush()
		select {
		case <-cond:
		case <-r.Context().Done():
			return
		}
	}
}

func (f *fakeAPI) write(w http.ResponseWriter, r *http.Request, resource, key string) {
	var body object
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		f.refuse(w, http.StatusBadRequest, "BadRequest", err.Error())
		return
	}
	raw, _ := json.Marshal(body)
	f.change(func() {
		f.calls = append(f.calls, fmt.Sprintf("%s %s %s", r.Method, r.URL.Path, raw))
		if resource == "nodes" {
			old := maps.Clone(f.objects[resource][key])
			old["status"] = body["status"]
			f.store(resource, key, old)
		}
	})
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(object{"kind": kindOf(resource), "apiVersion": "v1", "metadata": object{"name": key}})
}

func (f *fakeAPI) written() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.calls)
}

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
