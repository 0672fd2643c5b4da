// Command testsum runs `go test` over the packages of the repository and sums
// the results up: failures in full, skips with their reasons, and one closing
// line for everything. With -step it runs a single command as one test.
//
//	testsum [-race] STATE PACKAGE...        run tests but those of 802.1Q links, add to the sums in STATE
//	testsum -vm RUNNER STATE PACKAGE...     run those of 802.1Q links, in one virtual machine
//	testsum -step NAME STATE COMMAND...     run a command as one test
//	testsum -skip NAME STATE REASON         count something as left out
//	testsum -close STATE                    print the skips and the closing line
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

func main() { os.Exit(run()) }

func run() int {
	step := flag.String("step", "", "run a command as one test of this name")
	skip := flag.String("skip", "", "count something of this name as left out")
	closing := flag.Bool("close", false, "print the closing line")
	race := flag.Bool("race", false, "use the race detector, except for packages that link the EC2 SDK")
	runner := flag.String("vm", "", "run the tests of 802.1Q links by this command, which starts a virtual machine")
	parallel := flag.Int("p", 2, "packages to test side by side")
	flag.Parse()
	if flag.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "testsum: no state file given")
		return 2
	}
	state, args := flag.Arg(0), flag.Args()[1:]
	sum := load(state)
	sum.parallel = *parallel
	switch {
	case *closing:
		return sum.close(os.Stdout)
	case *skip != "":
		sum.skip(*skip, strings.Join(args, " "))
	case *step != "":
		sum.step(*step, args)
	case *runner != "":
		sum.vm(*runner, args)
	case *race:
		withSDK, without, err := split(args)
		if err != nil {
			sum.fail("go list", err.Error())
			break
		}
		sum.test(append([]string{"-race"}, without...))
		// Compiling the EC2 SDK a second time for the race detector takes over a minute.
		sum.test(withSDK)
	default:
		sum.test(args)
	}
	if err := sum.save(state); err != nil {
		fmt.Fprintln(os.Stderr, "testsum:", err)
		return 1
	}
	return 0
}

// Sum is the state between the steps of a run.
type Sum struct {
	Passed, Failed, Skipped int
	Failures, Skips         []string

	parallel int
}

func load(path string) *Sum {
	s := &Sum{}
	if raw, err := os.ReadFile(path); err == nil {
		_ = json.Unmarshal(raw, s)
	}
	return s
}

func (s *Sum) save(path string) error {
	raw, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return os.WriteFile(path, raw, 0o644)
}

func (s *Sum) fail(what, text string) {
	s.Failed++
	s.Failures = append(s.Failures, what)
	fmt.Printf("--- FAILED %s\n%s\n", what, strings.TrimRight(text, "\n"))
}

func (s *Sum) skip(what, reason string) {
	s.Skipped++
	s.Skips = append(s.Skips, what+": "+reason)
}

func (s *Sum) step(name string, command []string) {
	start := time.Now()
	out, err := exec.Command(command[0], command[1:]...).CombinedOutput()
	if err != nil {
		s.fail(name, string(out)+err.Error())
		return
	}
	s.Passed++
	fmt.Printf("ok   %-60s %6.1f s\n", name, time.Since(start).Seconds())
}

const sdk = "github.com/aws/aws-sdk-go-v2/service/ec2"

// split tells the packages whose tests link the EC2 SDK from the others.
func split(patterns []string) (with, without []string, err error) {
	list := func(args ...string) ([]string, error) {
		out, err := exec.Command("go", append([]string{"list"}, args...)...).Output()
		return strings.Fields(string(out)), err
	}
	pkgs, err := list(patterns...)
	if err != nil {
		return nil, nil, err
	}
	for _, p := range pkgs {
		deps, err := list("-deps", "-test", p)
		if err != nil {
			return nil, nil, fmt.Errorf("listing the dependencies of %s: %w", p, err)
		}
		if strings.Contains(" "+strings.Join(deps, " ")+" ", " "+sdk+" ") {
			with = append(with, p)
		} else {
			without = append(without, p)
		}
	}
	return with, without, nil
}

// test runs `go test -json` and adds up what it says.
func (s *Sum) test(args []string) {
	if len(args) == 0 || len(args) == 1 && args[0] == "-race" {
		return
	}
	cmd := exec.Command("go", append([]string{"test", "-json", "-count=1", "-timeout=10m", "-skip=" + vlanTests, fmt.Sprint("-p=", s.parallel)}, args...)...)
	if !strings.HasPrefix(args[0], "-race") {
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	} else {
		cmd.Env = append(os.Environ(), "CGO_ENABLED=1")
	}
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		s.fail("go test", err.Error())
		return
	}
	before := s.Failed
	s.read(out)
	if err := cmd.Wait(); err != nil && s.Failed == before {
		s.fail("go test", err.Error())
	}
}

// close prints what was left out and the closing line.
func (s *Sum) close(w io.Writer) int {
	for _, text := range s.Skips {
		fmt.Fprintln(w, "skipped", text)
	}
	for _, text := range s.Failures {
		fmt.Fprintln(w, "failed", text)
	}
	fmt.Fprintf(w, "%d passed, %d failed, %d skipped\n", s.Passed, s.Failed, s.Skipped)
	if s.Failed > 0 || s.Passed == 0 {
		return 1
	}
	return 0
}
