package config

import (
	"errors"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/checkpoint"
)

// Recovering is what the daemon does about pods that it did not see come or go.
type Recovering struct {
	OrphanGrace  time.Duration // ORPHAN_GRACE_PERIOD: without a trace of its pod an attachment is released
	CRISocket    string        // CRI_SOCKET: the runtime that is asked before; "" for none
	Checkpoint   string        // AWS_VPC_K8S_CNI_BACKING_STORE: the stock daemon's
	StockNetwork string        // CHECKPOINT_NETWORK: name for the network of its entries; "": their own
}

func recovering() []Setting {
	return []Setting{
		{
			"ORPHAN_GRACE_PERIOD", "60", "seconds, a whole number from 1",
			"how long interface and network namespace of a pod must be gone before its address is released without a DEL",
			number(1, 86400, func(c *Config, n int) { c.OrphanGrace = time.Duration(n) * time.Second }),
		},
		{
			"CRI_SOCKET", "", "a unix socket, as unix:///run/containerd/containerd.sock", "runtime that is asked for its sandboxes before such a release",
			func(c *Config, v string) error {
				c.CRISocket = v
				u, err := url.Parse(v)
				if err == nil && v != "" && (u.Scheme != "unix" || !filepath.IsAbs(u.Path)) {
					err = errors.New("not unix:// and an absolute path")
				}
				return err
			},
		},
		{
			"AWS_VPC_K8S_CNI_BACKING_STORE", checkpoint.DefaultPath, "an absolute path",
			"checkpoint of the stock daemon, whose running pods are taken over when there is no state of our own",
			func(c *Config, v string) error {
				c.Checkpoint = v
				if !filepath.IsAbs(v) {
					return errors.New("not an absolute path")
				}
				return nil
			},
		},
		{
			"CHECKPOINT_NETWORK", "", "the name of a conflist, without a slash", "network that pods of the checkpoint are of from then on; empty: the one that the checkpoint names",
			func(c *Config, v string) error {
				c.StockNetwork = v
				if strings.ContainsRune(v, '/') {
					return errors.New("it has a slash")
				}
				return nil
			},
		},
	}
}
