package install

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

func absolute(path string) error {
	if !filepath.IsAbs(path) {
		return errors.New("not an absolute path")
	}
	return nil
}

func sources(s *Settings, v string) error {
	s.Sources = strings.Split(v, ":")
	for _, p := range s.Sources {
		if err := absolute(p); err != nil {
			return fmt.Errorf("%q: %w", p, err)
		}
	}
	return nil
}

// plainName tells a name of a file in a directory from a path.
func plainName(v string) bool { return v != "" && v != "." && v != ".." && filepath.Base(v) == v }

func file(s *Settings, v string) error {
	s.File = v
	// libcni takes a file for a list of plugins by this ending alone.
	if !plainName(v) || filepath.Ext(v) != ".conflist" || strings.HasPrefix(v, ".") {
		return errors.New("not the name of a conflist")
	}
	return nil
}

func retire(s *Settings, v string) error {
	for part := range strings.SplitSeq(v, ",") {
		if !plainName(part) || !isConf(part) {
			return fmt.Errorf("%q is not the name of a conflist", part)
		}
		s.Retire = append(s.Retire, part)
	}
	return nil
}

// isConf tells whether a runtime reads a file of the name (libcni's ConfFiles in
// containerd's and CRI-O's use).
func isConf(name string) bool {
	return slices.Contains([]string{".conflist", ".conf", ".json"}, filepath.Ext(name))
}

// name follows libcni's ValidateNetworkName.
func name(s *Settings, v string) error {
	s.Network.Name = v
	if !regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.\-]*$`).MatchString(v) {
		return errors.New("not a network's name")
	}
	// The link's alias takes 255 characters: the name, a container id of 64, an interface of 15.
	if longest := vpcnet.MaxAlias - len("//") - 64 - 15; len(v) > longest {
		return fmt.Errorf("longer than %d characters", longest)
	}
	return nil
}

func wait(s *Settings, v string) error {
	d, err := time.ParseDuration(v)
	if err != nil || d < 0 {
		return errors.New("not a duration")
	}
	s.Wait = d
	return nil
}

func timeout(s *Settings, v string) error {
	s.Network.Timeout = v
	if d, err := time.ParseDuration(v); err != nil || d <= 0 {
		return errors.New("not a duration above 0")
	}
	return nil
}

func mtu(s *Settings, v string) error {
	n, err := strconv.Atoi(v)
	if err != nil || n < 576 || n > vpcnet.ENIMTU {
		return fmt.Errorf("not from 576 to %d", vpcnet.ENIMTU)
	}
	s.Network.MTU = n
	return nil
}

func truth(to func(*Settings) *bool) func(*Settings, string) error {
	return func(s *Settings, v string) error {
		b, err := strconv.ParseBool(v)
		if err != nil {
			return errors.New("not a truth value")
		}
		*to(s) = b
		return nil
	}
}

func oneOf(to func(*Settings) *string, values ...string) func(*Settings, string) error {
	return func(s *Settings, v string) error {
		*to(s) = v
		if !slices.Contains(values, v) {
			return errors.New("unknown")
		}
		return nil
	}
}
