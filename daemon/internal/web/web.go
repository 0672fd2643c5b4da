// Package web serves the daemon's pages on plain HTTP: its metrics, its health,
// and the picture of the node. It knows nothing of what it serves.
//
// The pages can be read and change nothing: only GET and HEAD pass. They are for
// the node itself and whoever got a way in: on a loopback address a request must name a
// loopback address as its host, so that a web page somewhere, whose name its
// owner lets point to 127.0.0.1, reads nothing through a browser on the node.
package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/net/netutil"
)

const (
	retryBind   = 10 * time.Second // how often an address that is taken is tried again
	connections = 32               // at once; more wait in the kernel's queue
	headerBytes = 16 << 10
	farewell    = time.Second // requests under way get this long when the daemon ends
)

// Serve serves h on the address until ctx ends. An address that cannot be bound
// is tried again every 10 s, and what is wrong with it is logged once for each
// reason: pods get their addresses without it, so it is no error of the daemon.
// Port 0 is any free one; the log says which. What names the pages in the log.
func Serve(ctx context.Context, what string, at netip.AddrPort, h http.Handler, log *slog.Logger) error {
	log = log.With("pages", what)
	for said := ""; ; {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", at.String())
		if err == nil {
			log.Info("listening", "address", l.Addr().String())
			return serve(ctx, l, guard(at.Addr(), h), log)
		}
		if ctx.Err() == nil && err.Error() != said {
			said = err.Error()
			log.Warn("the pages are not served", "address", at.String(), "error", err, "again_in", retryBind)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(retryBind):
		}
	}
}

func serve(ctx context.Context, l net.Listener, h http.Handler, log *slog.Logger) error {
	s := &http.Server{
		Handler: h, MaxHeaderBytes: headerBytes, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute,
	}
	var ending atomic.Bool
	stop := context.AfterFunc(ctx, func() {
		ending.Store(true)
		limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
		defer cancel()
		if s.Shutdown(limit) != nil {
			_ = s.Close()
		}
	})
	defer stop()
	err := s.Serve(netutil.LimitListener(l, connections))
	if ending.Load() && errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serving pages on %s: %w", l.Addr(), err)
}

// guard passes what only reads, and names the host that it was sent to.
func guard(at netip.Addr, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "these pages are only read: use GET", http.StatusMethodNotAllowed)
			return
		case at.IsLoopback() && !ownHost(r.Host):
			http.Error(w, "this address is served to the node itself: ask for it as 127.0.0.1 or localhost", http.StatusMisdirectedRequest)
			return
		}
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		h.ServeHTTP(w, r)
	})
}

// ownHost tells whether the header Host names a loopback address. The port is
// anybody's choice: a tunnel to the node has another one at its near end.
func ownHost(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	if strings.EqualFold(name, "localhost") {
		return true
	}
	a, err := netip.ParseAddr(strings.Trim(name, "[]"))
	return err == nil && a.IsLoopback()
}
