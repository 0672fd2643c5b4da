package main

import (
	"fmt"
	"net/http"
)

// web answers GET / and /healthz by HTTP with 200, everything else with 404.
func web(port string) error {
	mux := http.NewServeMux()
	for _, path := range []string{"/{$}", "/healthz"} {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "you are", r.RemoteAddr) })
	}
	s := &http.Server{Addr: ":" + port, Handler: mux, ReadHeaderTimeout: patience}
	return s.ListenAndServe()
}
