package runtimes

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// recorded is the plugin whose calls are recorded. It is first in the chain and
// so sees every verb that reaches the network, STATUS and GC included.
const recorded = "vpc-ipam"

// Call is one execution of the recorded plugin, as the runtime asked for it.
type Call struct {
	Time                                   time.Time
	Verb, ContainerID, Netns, IfName, Args string
	Config                                 CallConfig
	Code                                   int // exit status
	Stdout                                 string
}

// CallConfig is what matters here of the configuration on standard input.
type CallConfig struct {
	CNIVersion    string                     `json:"cniVersion"`
	PrevResult    json.RawMessage            `json:"prevResult,omitempty"`
	RuntimeConfig map[string]json.RawMessage `json:"runtimeConfig"`
}

// HasPrevResult says whether the runtime handed a result back.
func (c CallConfig) HasPrevResult() bool {
	return len(c.PrevResult) > 0 && string(c.PrevResult) != "null"
}

// Recording says whether this process was executed as the recorded plugin; its
// main function has to hand over to RecordMain then.
func Recording() bool { return filepath.Base(os.Args[0]) == recorded }

// RecordMain runs the real plugin with the same input and environment, passes
// on what it answers, and leaves a record of the call. It returns the exit status.
func RecordMain(getenv func(string) string) int {
	in, err := io.ReadAll(os.Stdin)
	if err != nil {
		fmt.Fprintln(os.Stderr, "recorder:", err)
		return 1
	}
	c := Call{
		Time: time.Now(), Verb: getenv("CNI_COMMAND"), ContainerID: getenv("CNI_CONTAINERID"),
		Netns: getenv("CNI_NETNS"), IfName: getenv("CNI_IFNAME"), Args: getenv("CNI_ARGS"),
	}
	_ = json.Unmarshal(in, &c.Config) // VERSION has nothing that matters here
	var out bytes.Buffer
	cmd := exec.Command(filepath.Join(realDir, recorded))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(in), &out, os.Stderr
	err = cmd.Run()
	if failed := (*exec.ExitError)(nil); errors.As(err, &failed) {
		c.Code = failed.ExitCode()
	} else if err != nil {
		fmt.Fprintln(os.Stderr, "recorder:", err)
		return 1
	}
	c.Stdout = out.String()
	if err := c.save(); err != nil {
		fmt.Fprintln(os.Stderr, "recorder:", err)
		return 1
	}
	_, _ = os.Stdout.WriteString(c.Stdout)
	return c.Code
}

// save writes the record by rename, so that nobody reads half of it.
func (c Call) save() error {
	raw, err := json.Marshal(c)
	if err != nil {
		return err
	}
	name := filepath.Join(callDir, fmt.Sprintf("%020d-%d", c.Time.UnixNano(), os.Getpid()))
	if err := os.WriteFile(name, raw, 0o600); err != nil {
		return err
	}
	return os.Rename(name, name+".json")
}

// Calls are the calls of the recorded plugin so far, in their order, without VERSION.
func (n *Node) Calls() ([]Call, error) {
	names, err := filepath.Glob(filepath.Join(n.outside(callDir), "*.json"))
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	var out []Call
	for _, name := range names {
		raw, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		var c Call
		if err := json.Unmarshal(raw, &c); err != nil {
			return nil, fmt.Errorf("decoding %s: %w", name, err)
		}
		if c.Verb != "VERSION" {
			out = append(out, c)
		}
	}
	return out, nil
}

// CallsOf are the calls for one container.
func (n *Node) CallsOf(id string) ([]Call, error) {
	all, err := n.Calls()
	return slices.DeleteFunc(all, func(c Call) bool { return c.ContainerID != id }), err
}

func (c Call) String() string {
	return strings.TrimSpace(fmt.Sprintf("%s %.12s %s netns=%q prevResult=%t code %d", c.Verb, c.ContainerID, c.Config.CNIVersion, c.Netns, c.Config.HasPrevResult(), c.Code))
}
