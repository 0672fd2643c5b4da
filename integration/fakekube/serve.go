package fakekube

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

func (f *API) refuse(w http.ResponseWriter, code int, why, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(status(code, why, message))
}

func status(code int, why, message string) Object {
	return Object{"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": why, "message": message}
}

// ServeHTTP is the server.
func (f *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
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

func (f *API) list(w http.ResponseWriter, r *http.Request, resource string) {
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
	out := Object{
		"kind": kindOf(resource) + "List", "apiVersion": apiVersion(resource), "metadata": Object{"resourceVersion": strconv.Itoa(f.version)}, "items": items,
	}
	f.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(out)
}

func (f *API) watch(w http.ResponseWriter, r *http.Request, resource string) {
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
			_ = out.Encode(Object{"type": "ERROR", "object": status(http.StatusGone, "Expired", "too old resource version")})
			return
		}
		for _, c := range news {
			_ = out.Encode(Object{"type": c.kind, "object": c.obj})
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

func (f *API) write(w http.ResponseWriter, r *http.Request, resource, key string) {
	var body Object
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		f.refuse(w, http.StatusBadRequest, "BadRequest", err.Error())
		return
	}
	raw, _ := json.Marshal(body)
	f.locked(func() {
		f.calls = append(f.calls, fmt.Sprintf("%s %s %s", r.Method, r.URL.Path, raw))
		if resource == "nodes" {
			old := maps.Clone(f.objects[resource][key])
			old["status"] = body["status"]
			f.store(resource, key, old)
		}
	})
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(Object{"kind": kindOf(resource), "apiVersion": "v1", "metadata": Object{"name": key}})
}
