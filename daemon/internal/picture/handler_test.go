package picture

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/engine"
	"github.com/vpcchain/vpcchain/daemon/internal/explain"
	"github.com/vpcchain/vpcchain/daemon/internal/recent"
)

// still is a daemon in which nothing happens.
type still struct{ sample }

func (s still) View() engine.View         { return s.view }
func (s still) Bearings() engine.Bearings { return s.node }
func (still) Records() []recent.Record    { return nil }

// echo answers with the question.
type echo struct{}

func (echo) Explain(_ context.Context, _ engine.View, src, dst, port string) (string, error) {
	if dst == "nowhere" {
		return "", errors.New("there is no such place")
	}
	return "asked " + src + " to " + dst + " at " + port, nil
}

func get(h http.Handler, method, target string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestHandler(t *testing.T) {
	s := still{growing()}
	h := Handler(s, s, echo{})
	for _, c := range []struct {
		target string
		site   string // Sec-Fetch-Site
		has    []string
		lacks  []string
	}{
		{"/", "", []string{"▲ ", "limited", "<form", `href="?refresh=5"`}, []string{"http-equiv", `id="answer"`, `id="fault"`}},
		{"/?refresh=7", "", []string{`<meta http-equiv="refresh" content="7">`, `name="refresh" value="7"`, `<a href="?">stop`}, nil},
		{"/?refresh=0", "", nil, []string{"http-equiv"}},
		{"/?refresh=3601", "", nil, []string{"http-equiv"}},
		{"/?refresh=-1", "", nil, []string{"http-equiv"}},
		{"/?refresh=0;url=http://x", "", nil, []string{"http-equiv"}},
		{"/?src=a&dst=b&port=c", "", []string{"asked a to b at c", `value="a"`, `value="b"`, `href="?dst=b&amp;port=c&amp;refresh=5&amp;src=a"`}, []string{`id="fault"`}},
		{"/?src=a&dst=b", "none", []string{"asked a to b"}, nil},
		{"/?src=a&dst=b", "same-origin", []string{"asked a to b"}, nil},
		{"/?src=a&dst=b", "cross-site", []string{"press Explain", `value="a"`}, []string{"asked a"}},
		{"/?src=a&dst=b", "same-site", []string{"press Explain"}, []string{"asked a"}},
		{"/?src=a", "", []string{`value="a"`}, []string{"asked a", `id="fault"`}},
		{"/?src=a&dst=nowhere", "", []string{`id="fault">there is no such place`}, []string{`id="answer"`}},
		{"/?src=" + strings.Repeat("a", maxField+1) + "&dst=b", "", []string{"too long"}, []string{"asked a", "aaaa"}},
		{"/?src=%3Cscript%3E&dst=b", "", []string{"asked &lt;script&gt; to b"}, []string{"<script"}},
	} {
		w := get(h, http.MethodGet, c.target, "Sec-Fetch-Site", c.site)
		body := w.Body.String()
		if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "text/html; charset=utf-8" {
			t.Errorf("%s: %d %s", c.target, w.Code, w.Header().Get("Content-Type"))
		}
		for _, text := range c.has {
			if !strings.Contains(body, text) {
				t.Errorf("%s (%s) lacks %q", c.target, c.site, text)
			}
		}
		for _, text := range c.lacks {
			if strings.Contains(body, text) {
				t.Errorf("%s (%s) has %q", c.target, c.site, text)
			}
		}
	}
	for _, c := range []struct {
		method, target string
		code           int
	}{{"HEAD", "/", 200}, {"POST", "/", 405}, {"PUT", "/", 405}, {"GET", "/favicon.ico", 404}, {"GET", "/v1/enis", 404}} {
		if w := get(h, c.method, c.target); w.Code != c.code {
			t.Errorf("%s %s is answered with %d, want %d", c.method, c.target, w.Code, c.code)
		}
	}
}

// The policy allows the page's own style and nothing else.
func TestPolicy(t *testing.T) {
	s := still{full()}
	w := get(Handler(s, s, echo{}), http.MethodGet, "/")
	_, rest, _ := strings.Cut(w.Body.String(), "<style>")
	css, _, ok := strings.Cut(rest, "</style>")
	sum := sha256.Sum256([]byte(css))
	csp := w.Header().Get("Content-Security-Policy")
	if want := "style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"; !ok || !strings.Contains(csp, want) {
		t.Errorf("the policy %q does not allow the style, %s", csp, want)
	}
	if !strings.HasPrefix(csp, "default-src 'none'; ") || strings.Contains(csp, "unsafe") || strings.Contains(csp, "*") {
		t.Errorf("the policy is %q", csp)
	}
	for _, outside := range []string{" src=", "url(", "@import", "<link", "style=", "<script", "//"} {
		if body := w.Body.String(); strings.Contains(body, outside) {
			t.Errorf("the page has %q", outside)
		}
	}
}

func TestNoExplainWithoutTheKernel(t *testing.T) {
	s := still{growing()}
	w := get(Handler(s, s, nil), http.MethodGet, "/?src=a&dst=b")
	if body := w.Body.String(); strings.Contains(body, "<form") || !strings.Contains(body, "-no-host") {
		t.Errorf("the page offers explain:\n%s", body)
	}
}

// stuck does not answer before it is let go.
type stuck struct{ let chan struct{} }

func (s stuck) Explain(context.Context, engine.View, string, string, string) (string, error) {
	<-s.let
	return "at last", nil
}

// One page is made at a time, and who waits for his turn does not wait for ever.
func TestOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, x := still{growing()}, stuck{make(chan struct{})}
		h := Handler(s, s, x)
		var first *httptest.ResponseRecorder
		var all sync.WaitGroup
		all.Go(func() { first = get(h, http.MethodGet, "/?src=a&dst=b") })
		synctest.Wait()
		began := time.Now()
		if w := get(h, http.MethodGet, "/"); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || time.Since(began) != patience {
			t.Errorf("a second request is answered with %d after %v", w.Code, time.Since(began))
		}
		close(x.let)
		all.Wait()
		if first.Code != http.StatusOK || !strings.Contains(first.Body.String(), "at last") {
			t.Errorf("the first is answered with %d", first.Code)
		}
		if w := get(h, http.MethodGet, "/"); w.Code != http.StatusOK {
			t.Errorf("after it a request is answered with %d", w.Code)
		}
	})
}

// The kernel is read once at a time and once a second at most, and who asks does
// not wait for ever.
func TestKernelIsReadSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var reads, under atomic.Int32
		takes := 100 * time.Millisecond
		k := NewKernel(func() (explain.Snapshot, error) {
			if under.Add(1) > 1 {
				t.Error("two readings at once")
			}
			defer under.Add(-1)
			reads.Add(1)
			time.Sleep(takes)
			return explain.Snapshot{}, nil
		})
		ask := func(limit time.Duration) error {
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			_, err := k.Explain(ctx, engine.View{}, "10.0.0.1", "10.0.0.2", "")
			return err
		}
		for range 3 {
			var all sync.WaitGroup
			for range 50 {
				all.Go(func() {
					if err := ask(patience); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
		}
		if n := reads.Load(); n != 1 {
			t.Errorf("150 questions in 100 ms were %d readings", n)
		}
		time.Sleep(fresh)
		takes = time.Minute
		if err := ask(time.Second); err == nil || !strings.Contains(err.Error(), "ask again") {
			t.Errorf("a reading of a minute ends with %v", err)
		}
		if err := ask(time.Second); err == nil {
			t.Error("answered without a reading")
		}
		time.Sleep(takes)
		if n := reads.Load(); n != 2 {
			t.Errorf("%d readings", n)
		}
		synctest.Wait()
	})
}

func TestKernelRefuses(t *testing.T) {
	k := NewKernel(func() (explain.Snapshot, error) { return explain.Snapshot{}, nil })
	for _, c := range [][4]string{
		{"x", "10.0.0.1", "", `"x" is no IPv4 address`},
		{"10.0.0.1", "::1", "", `"::1" is no IPv4 address`},
		{"node", "10.0.0.1", "", "the node's address is not known"},
		{"shop/web", "10.0.0.1", "", `no pod "shop/web"`},
		{"10.0.0.1", "10.0.0.2", "65536", `the port "65536"`},
		{"10.0.0.1", "10.0.0.2", "-1", `the port "-1"`},
	} {
		if text, err := k.Explain(t.Context(), engine.View{}, c[0], c[1], c[2]); err == nil || !strings.Contains(err.Error(), c[3]) {
			t.Errorf("%q is answered with %q, %v", url.Values{"q": c[:3]}, text, err)
		}
	}
	k = NewKernel(func() (explain.Snapshot, error) { return explain.Snapshot{}, errors.New("no netlink") })
	if _, err := k.Explain(t.Context(), engine.View{}, "10.0.0.1", "10.0.0.2", ""); err == nil || !strings.Contains(err.Error(), "reading the kernel: no netlink") {
		t.Errorf("a kernel that cannot be read: %v", err)
	}
}

// A pod is found by its name, and so is its ENI.
func TestKernelKnowsThePods(t *testing.T) {
	k := NewKernel(func() (explain.Snapshot, error) { return explain.Snapshot{}, nil })
	text, err := k.Explain(t.Context(), branches().view, "shop/web-1-0", "10.99.0.1", "443")
	if err != nil || !strings.HasPrefix(text, "10.20.2.16 (") || !strings.Contains(text, "to 10.99.0.1 port 443") {
		t.Errorf("%q, %v", text, err)
	}
}
