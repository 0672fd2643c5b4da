package picture

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/integration/lab"
)

// browser is a headless Chromium on an instance, driven by its DevTools protocol
// over two pipes: it opens no port, and reaches what the instance reaches, which
// is the simulation.
type browser struct {
	t       *testing.T
	out     *os.File
	session string
	serial  int

	mu      sync.Mutex
	answers map[int]chan message
	events  chan message
}

// message of the DevTools protocol.
type message struct {
	ID        int             `json:"id,omitempty"`
	Method    string          `json:"method,omitempty"`
	Params    any             `json:"params,omitempty"`
	SessionID string          `json:"sessionId,omitempty"`
	Result    json.RawMessage `json:"result,omitempty"`
	Error     *struct {
		Message string `json:"message"`
	} `json:"error,omitempty"`
}

// patience bounds each step of the browser: its start takes a second or two.
const patience = 60 * time.Second

// needBrowser is the path of Chromium.
func needBrowser(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err == nil {
		return path
	}
	const reason = "needs Debian's package chromium"
	if strings.Contains(os.Getenv("VPCCHAIN_REQUIRE"), "root") {
		t.Fatal(reason)
	}
	t.Skip(reason)
	return ""
}

// openBrowser starts Chromium on the node until the test ends.
func openBrowser(t *testing.T, l *lab.Lab, node string) *browser {
	t.Helper()
	path := needBrowser(t)
	profile, err := os.MkdirTemp("", "vpcchain-chromium") //nolint:usetesting // removed when Chromium is gone
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(profile) })
	fromHere, toHere, err := pipes()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(l.Bin("vpcsim"), "exec", "--name", simulation(), node, "--", path, //nolint:gosec // the test's own words
		"--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--no-first-run", "--disable-extensions",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-breakpad",
		"--force-color-profile=srgb",
		"--user-data-dir="+profile, "--remote-debugging-pipe", "about:blank")
	cmd.Env = append(os.Environ(), "HOME="+profile, "XDG_CONFIG_HOME="+profile, "XDG_CACHE_HOME="+profile)
	cmd.ExtraFiles = []*os.File{fromHere.theirs, toHere.theirs} // 3 and 4, as the protocol wants
	// A process group of its own: Chromium is a dozen processes, and all of them end with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	log := &strings.Builder{}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = errors.Join(fromHere.theirs.Close(), toHere.theirs.Close())
	b := &browser{t: t, out: fromHere.ours, answers: map[int]chan message{}, events: make(chan message, 1000)}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait() // killed
		ended(t, cmd.Process.Pid, profile)
		_ = errors.Join(fromHere.ours.Close(), toHere.ours.Close())
		if t.Failed() {
			t.Logf("Chromium says:\n%s", log)
		}
	})
	go b.hear(toHere.ours)
	var target struct {
		TargetID string `json:"targetId"`
	}
	b.call("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var session struct {
		SessionID string `json:"sessionId"`
	}
	b.call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &session)
	b.session = session.SessionID
	b.call("Page.enable", nil, nil)
	b.call("Network.enable", nil, nil)
	b.call("Log.enable", nil, nil)
	return b
}

// ended waits until no process of the group is alive, nor one that has the
// profile in its command line: the collectors of crashes have groups of their own.
func ended(t *testing.T, group int, profile string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err := lab.Poll(ctx, func() error {
		dirs, err := filepath.Glob("/proc/[0-9]*")
		if err != nil {
			return err
		}
		for _, d := range dirs {
			// What cannot be read has ended.
			stat, _ := os.ReadFile(filepath.Join(d, "stat"))       //nolint:gosec // of /proc
			command, _ := os.ReadFile(filepath.Join(d, "cmdline")) //nolint:gosec // of /proc
			// Behind the name, which may have anything in it: state, parent, group.
			fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
			if len(fields) > 2 && fields[0] != "Z" && (fields[2] == strconv.Itoa(group) || bytes.Contains(command, []byte(profile))) {
				return fmt.Errorf("%s is alive: %s", d, command)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// pipe has an end for us and one for Chromium.
type pipe struct{ ours, theirs *os.File }

func pipes() (fromHere, toHere pipe, err error) {
	r1, w1, err := os.Pipe()
	if err != nil {
		return pipe{}, pipe{}, err
	}
	r2, w2, err := os.Pipe()
	return pipe{w1, r1}, pipe{r2, w2}, err
}

// hear sorts what Chromium says; each message ends with a zero byte.
func (b *browser) hear(in io.Reader) {
	for r := bufio.NewReader(in); ; {
		raw, err := r.ReadBytes(0)
		if err != nil {
			return // it has ended
		}
		var m message
		if json.Unmarshal(raw[:len(raw)-1], &m) != nil {
			continue
		}
		b.mu.Lock()
		answer := b.answers[m.ID]
		b.mu.Unlock()
		if m.ID != 0 && answer != nil {
			answer <- m
			continue
		}
		select {
		case b.events <- m:
		default: // nobody is interested in so many
		}
	}
}

// call is a command; its result goes into v.
func (b *browser) call(method string, params, v any) {
	b.t.Helper()
	b.serial++
	answer := make(chan message, 1)
	b.mu.Lock()
	b.answers[b.serial] = answer
	b.mu.Unlock()
	raw, err := json.Marshal(message{ID: b.serial, Method: method, Params: params, SessionID: b.session})
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.out.Write(append(raw, 0)); err != nil {
		b.t.Fatalf("%s: %v", method, err)
	}
	select {
	case m := <-answer:
		if m.Error != nil {
			b.t.Fatalf("%s: %s", method, m.Error.Message)
		}
		if v != nil {
			if err := json.Unmarshal(m.Result, v); err != nil {
				b.t.Fatalf("%s: %v", method, err)
			}
		}
	case <-time.After(patience):
		b.t.Fatalf("%s: no answer in %v", method, patience)
	}
}

// open loads a page and waits until it is there.
func (b *browser) open(url string) {
	b.t.Helper()
	for len(b.events) > 0 {
		<-b.events
	}
	var result struct {
		ErrorText string `json:"errorText"`
	}
	b.call("Page.navigate", map[string]any{"url": url}, &result)
	if result.ErrorText != "" {
		b.t.Fatalf("opening %s: %s", url, result.ErrorText)
	}
	b.loaded("opening " + url)
}

// loaded waits for a page that is on its way.
func (b *browser) loaded(doing string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	defer cancel()
	for {
		select {
		case m := <-b.events:
			switch m.Method {
			case "Page.loadEventFired":
				return
			case "Log.entryAdded": // a violation of the policy, for one
				b.t.Errorf("%s, the browser complains: %v", doing, m.Params)
			}
		case <-ctx.Done():
			b.t.Fatalf("%s: it does not end", doing)
		}
	}
}

// eval is the value of a JavaScript expression in the page, as JSON.
func (b *browser) eval(expression string, v any) {
	b.t.Helper()
	var r struct {
		Result struct {
			Value json.RawMessage `json:"value"`
		} `json:"result"`
		Exception *struct {
			Text string `json:"text"`
		} `json:"exceptionDetails"`
	}
	b.call("Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true}, &r)
	if r.Exception != nil {
		b.t.Fatalf("%s: %s", expression, r.Exception.Text)
	}
	if err := json.Unmarshal(r.Result.Value, v); err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
}

// size makes the window so large, in CSS pixels.
func (b *browser) size(width, height int) {
	b.t.Helper()
	b.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false}, nil)
}

// theme is what prefers-color-scheme says: light or dark.
func (b *browser) theme(name string) {
	b.t.Helper()
	b.call("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": name}}}, nil)
}

// shot is the whole page as a PNG.
func (b *browser) shot() []byte {
	b.t.Helper()
	var r struct {
		Data string `json:"data"`
	}
	b.call("Page.captureScreenshot", map[string]any{"format": "png", "captureBeyondViewport": true}, &r)
	raw, err := base64.StdEncoding.DecodeString(r.Data)
	if err != nil {
		b.t.Fatal(fmt.Errorf("the screenshot: %w", err))
	}
	return raw
}
