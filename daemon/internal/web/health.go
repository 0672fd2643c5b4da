package web

import (
	"fmt"
	"net/http"
)

// Health is what the probes ask for; each error says what is wrong.
type Health interface {
	// Alive fails when only a new start helps.
	Alive() error
	// Ready fails when the next pod would get no address. The text is said with
	// 200 as well: what is wrong though pods are served.
	Ready() (text string, err error)
}

// AddHealth serves /healthz and /readyz: 200, or 503 with the reason.
func AddHealth(mux *http.ServeMux, h Health) {
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { answer(w, "", h.Alive()) })
	mux.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) {
		text, err := h.Ready()
		answer(w, text, err)
	})
}

func answer(w http.ResponseWriter, text string, err error) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = fmt.Fprintln(w, err)
		return
	}
	if text == "" {
		text = "ok"
	}
	_, _ = fmt.Fprintln(w, text)
}
