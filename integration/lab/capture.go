package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/vpcchain/vpcchain/integration/vpcsim/capture"
)

// Capture is `vpcsim capture` running on a link.
type Capture struct{ proc *Process }

// Capture starts to record the packets of a link that match the filter.
func (l *Lab) Capture(ctx context.Context, host, link, filter string) (*Capture, error) {
	args := append([]string{"capture", "--name", l.name, "--json", host, link}, strings.Fields(filter)...)
	p, err := start(os.Environ(), l.Bin("vpcsim"), args...)
	if err != nil {
		return nil, err
	}
	c := &Capture{p}
	err = Poll(ctx, func() error {
		if strings.Contains(p.Log(), "listening") {
			return nil
		}
		select {
		case <-p.Done():
			return Permanent(fmt.Errorf("capturing on %s %s: %s", host, link, p.Log()))
		default:
			return fmt.Errorf("capturing on %s %s did not begin", host, link)
		}
	})
	if err != nil {
		_ = p.Stop(syscall.SIGKILL)
		return nil, err
	}
	return c, nil
}

// settle is how long a capture waits for packets that are on their way.
const settle = 150 * time.Millisecond

// Stop ends the capture and returns its packets.
func (c *Capture) Stop() ([]capture.Packet, error) {
	time.Sleep(settle)
	_ = c.proc.Stop(syscall.SIGTERM)
	var out []capture.Packet
	for line := range strings.Lines(c.proc.Log()) {
		if !strings.HasPrefix(line, "{") {
			continue
		}
		var p capture.Packet
		if err := json.Unmarshal([]byte(line), &p); err != nil {
			return nil, fmt.Errorf("decoding the capture's line %q: %w", line, err)
		}
		out = append(out, p)
	}
	return out, nil
}
