package vm

import (
	"os"
	"strings"
	"testing"
)

// Where the kernel has 802.1Q, RequireVLAN lets the test go on.
func TestVLANRequired(t *testing.T) {
	RequireVLAN(t)
	if err := Probe(); err != nil {
		t.Error(err)
	}
}

// recorder is a test that is told to end, without ending this one.
type recorder struct {
	testing.TB
	fatal, skipped string
}

func (r *recorder) Helper()                      {}
func (r *recorder) Fatalf(f string, _ ...any)    { r.fatal = f }
func (r *recorder) Skipf(f string, _ ...any)     { r.skipped = f }
func (r *recorder) ended() (fatal, skipped bool) { return r.fatal != "", r.skipped != "" }

func TestRequireVLAN(t *testing.T) {
	has := Probe() == nil
	for value, mustFail := range map[string]bool{"": false, "root": false, "vlan": true, "root vlan": true} {
		t.Run(strings.ReplaceAll("="+value, " ", "+"), func(t *testing.T) {
			t.Setenv("VPCCHAIN_REQUIRE", value)
			r := &recorder{TB: t}
			RequireVLAN(r)
			fatal, skipped := r.ended()
			if fatal != (mustFail && !has) || skipped != (!mustFail && !has) {
				t.Errorf("802.1Q here: %v (euid %d); failed %v, skipped %v", has, os.Geteuid(), fatal, skipped)
			}
		})
	}
}
