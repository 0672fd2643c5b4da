package picture

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/engine"
	"github.com/vpcchain/vpcchain/daemon/internal/recent"
)

// Source is what the page is of.
type Source interface {
	View() engine.View
	Bearings() engine.Bearings
}

// Events are the last ones, the newest first.
type Events interface{ Records() []recent.Record }

// Explainer answers as vpcctl explain does.
type Explainer interface {
	Explain(ctx context.Context, v engine.View, src, dst, port string) (string, error)
}

const (
	usualRefresh = 5               // seconds
	mostRefresh  = 3600            // seconds
	maxField     = 300             // bytes of a field of the form
	patience     = 5 * time.Second // for one's turn and for explain
)

// Handler serves the page at its root. Requests are answered one after the other:
// who reaches the address, and every process in the node's network does, keeps
// the daemon busy with one of them at most. Without an explainer there is no form.
func Handler(s Source, events Events, x Explainer) http.Handler {
	turn, csp := make(chan struct{}, 1), policy()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), patience)
		defer cancel()
		select {
		case turn <- struct{}{}:
		case <-ctx.Done():
			w.Header().Set("Retry-After", "1")
			http.Error(w, "others ask for this page as well: try again", http.StatusServiceUnavailable)
			return
		}
		body := answer(ctx, s, events, x, r)
		<-turn
		h := w.Header()
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Security-Policy", csp)
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		_, _ = w.Write(body) // who went away needs no answer
	})
	return mux
}

func answer(ctx context.Context, s Source, events Events, x Explainer, r *http.Request) []byte {
	state := s.View()
	v := Of(state, s.Bearings(), events.Records(), time.Now())
	q := r.URL.Query()
	v.Asked, v.Refresh = askedOf(q), refreshOf(q)
	switch a := &v.Asked; {
	case x == nil:
		v.Asked = Asked{Off: "explain reads the kernel, which this daemon leaves alone (-no-host)."}
	case a.Fault != "" || a.Src == "" || a.Dst == "":
	case !ownPage(r):
		a.Fault = "the question comes from another page: press Explain to ask it"
	default:
		text, err := x.Explain(ctx, state, a.Src, a.Dst, a.Port)
		if a.Answer = text; err != nil {
			a.Fault = err.Error()
		}
	}
	return v.HTML()
}

// ownPage tells that no other web page has sent the browser here: such a page
// could keep the node reading its kernel. Browsers tell by themselves; curl and
// the like say nothing.
func ownPage(r *http.Request) bool {
	from := r.Header.Get("Sec-Fetch-Site")
	return from == "" || from == "none" || from == "same-origin"
}

func askedOf(q url.Values) Asked {
	a := Asked{Src: q.Get("src"), Dst: q.Get("dst"), Port: q.Get("port")}
	for _, s := range []string{a.Src, a.Dst, a.Port} {
		if len(s) > maxField {
			return Asked{Fault: "a field of the form is too long"}
		}
	}
	return a
}

// refreshOf is the refreshing that was asked for; what makes no sense is none.
func refreshOf(q url.Values) int {
	n, err := strconv.Atoi(q.Get("refresh"))
	if err != nil || n < 1 || n > mostRefresh {
		return 0
	}
	return n
}
