package web

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func get(t *testing.T, h http.Handler, method, host, path string) (int, string) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, nil)
	r.Host = host
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code, strings.TrimSpace(w.Body.String())
}

var page = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "page") })

func TestOwnHost(t *testing.T) {
	h := guard(netip.MustParseAddr("127.0.0.1"), page)
	for host, want := range map[string]int{
		"127.0.0.1:61678": 200, "127.0.0.1": 200, "localhost:8080": 200, "LocalHost": 200, "[::1]:61679": 200, "[::1]": 200, "127.8.9.1:1": 200,
		"node.attacker.example": 421, "node.attacker.example:61678": 421, "10.20.0.10:61678": 421, "localhost.attacker.example": 421,
		"": 421, "127.0.0.1.attacker.example": 421, "0.0.0.0:61678": 421, "[::1": 200, "[fe80::1]:61678": 421,
	} {
		if code, _ := get(t, h, http.MethodGet, host, "/metrics"); code != want {
			t.Errorf("Host %q: %d, want %d", host, code, want)
		}
	}
	// Whoever serves it to the network has named it for others.
	if code, _ := get(t, guard(netip.MustParseAddr("10.20.0.10"), page), http.MethodGet, "node7:61678", "/metrics"); code != 200 {
		t.Errorf("a name on an address of the network: %d", code)
	}
}

func TestOnlyReads(t *testing.T) {
	h := guard(netip.MustParseAddr("::1"), page)
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions, http.MethodConnect, http.MethodTrace, "PROPFIND"} {
		if code, _ := get(t, h, method, "localhost", "/"); code != http.StatusMethodNotAllowed {
			t.Errorf("%s: %d", method, code)
		}
	}
	if code, _ := get(t, h, http.MethodHead, "localhost", "/"); code != 200 {
		t.Errorf("HEAD: %d", code)
	}
}

type health struct{ alive, ready error }

func (h health) Alive() error { return h.alive }

func (h health) Ready() (string, error) { return "one ENI is missing", h.ready }

func TestHealth(t *testing.T) {
	for _, c := range []struct {
		path string
		h    health
		code int
		body string
	}{
		{"/healthz", health{}, 200, "ok"},
		{"/healthz", health{alive: errors.New("stuck")}, 503, "stuck"},
		{"/readyz", health{alive: errors.New("stuck")}, 200, "one ENI is missing"},
		{"/readyz", health{ready: errors.New("no free address: subnet full")}, 503, "no free address: subnet full"},
	} {
		mux := http.NewServeMux()
		AddHealth(mux, c.h)
		if code, body := get(t, mux, http.MethodGet, "localhost", c.path); code != c.code || body != c.body {
			t.Errorf("%s of %+v: %d %q", c.path, c.h, code, body)
		}
	}
}

type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) count(what string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), what)
}

// An address that is taken is said once, tried again, and served when it is free.
func TestTakenAddress(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var out lines
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			done <- Serve(ctx, "metrics", taken.Addr().(*net.TCPAddr).AddrPort(), page, slog.New(slog.NewTextHandler(&out, nil)))
		}()
		time.Sleep(3*retryBind + time.Second)
		synctest.Wait()
		if n := out.count("not served"); n != 1 {
			t.Errorf("said %d times", n)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	at := taken.Addr().(*net.TCPAddr).AddrPort()
	if err := taken.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	listening := &lines{}
	go func() { served <- Serve(ctx, "metrics", at, page, slog.New(slog.NewTextHandler(listening, nil))) }()
	for listening.count("listening") == 0 {
		select {
		case err := <-served:
			t.Fatalf("ended: %v", err)
		case <-time.After(time.Millisecond):
		}
	}
	r, err := http.Get("http://" + at.String() + "/") //nolint:noctx // of this process
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil || string(body) != "page" || r.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%q %v %v", body, r.Header, err)
	}
	_ = r.Body.Close()
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// A header that is too long is refused, and a client that says nothing is cut off.
func TestBounds(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- serve(ctx, l, page, slog.New(slog.DiscardHandler)) }()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+l.Addr().String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Long", strings.Repeat("x", 4*headerBytes))
	if got, err := http.DefaultClient.Do(r); err != nil || got.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("%v, %v", got, err)
	} else {
		_ = got.Body.Close()
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
