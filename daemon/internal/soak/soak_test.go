// Package soak is the fault model of vpc-ipamd: seeded schedules of ADD, DEL, GC,
// kills of the daemon, EC2 errors, lost replies, throttling, late links and IMDS
// lag over hours of virtual time, against the real engine and cloud packages and
// a simulated EC2. After each everything must be right again: no address twice,
// none lost, no ENI left over, kernel = pool = EC2, and no call in the steady
// state. A violation prints its seed and the shortest schedule found.
package soak

import (
	"flag"
	"fmt"
	"os"
	"testing"
)

var (
	schedules = flag.Int("schedules", 200, "how many schedules to run")
	first     = flag.Uint64("seed", 1, "seed of the first schedule")
	verbose   = flag.Bool("log", false, "print each schedule and what the daemon and the runtime did")
)

func TestMain(m *testing.M) {
	flag.Parse()
	// The SDK reads them at the start of each daemon; nothing of the machine's may leak in.
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "", "AWS_DEFAULT_REGION": "", "AWS_PROFILE": "",
		"AWS_ENDPOINT_URL": "", "AWS_ENDPOINT_URL_EC2": "", "AWS_EC2_METADATA_SERVICE_ENDPOINT": "", "AWS_EC2_METADATA_DISABLED": "", "AWS_CA_BUNDLE": "",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
	} {
		if err := os.Setenv(name, value); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

func TestSchedules(t *testing.T) {
	var all tally
	t.Cleanup(func() { t.Log(&all) })
	for i := range *schedules {
		seed := *first + uint64(i) //nolint:gosec // from 0
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			s := build(seed)
			wrong, log := run(t, s, &all)
			if *verbose {
				t.Logf("%s%s", s, log)
			}
			if len(wrong) == 0 {
				return
			}
			short, violations := shorten(t, s)
			t.Errorf("seed %d violates:\n%s\nthe shortest schedule found:\n%sviolates:\n%s\nreplay: go test ./daemon/internal/soak -run TestSchedules -args -seed %d -schedules 1",
				seed, lines(wrong), short, lines(violations), seed)
		})
	}
}
