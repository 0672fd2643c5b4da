package cli_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/integration/vpcsim/ec2"
)

// plain is a simulation without fabric, run by a user without rights if the
// tests run as root.
type plain struct {
	t       *testing.T
	binary  string
	runtime string
}

func newPlain(t *testing.T) *plain {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// Short and readable for another user, unlike what the test framework makes.
	dir, err := os.MkdirTemp("/tmp", "vpcsim-test") //nolint:usetesting // its parent is closed to other users
	if err != nil {
		t.Fatal(err)
	}
	p := &plain{t, filepath.Join(dir, "vpcsim"), filepath.Join(dir, "run")}
	t.Cleanup(func() {
		p.must("down")
		if left, err := os.ReadDir(filepath.Join(p.runtime, "vpcsim")); err == nil && len(left) > 0 {
			t.Errorf("down leaves %v", left)
		}
		_ = os.RemoveAll(dir)
	})
	raw, err := os.ReadFile(self)
	for _, err := range []error{err, os.Chmod(dir, 0o755), os.WriteFile(p.binary, raw, 0o755), os.Mkdir(p.runtime, 0o700)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(p.runtime, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

const nobody = 65534

func (p *plain) run(args ...string) (string, error) {
	cmd := exec.Command(p.binary, args...)
	cmd.Env = []string{helperEnv + "=1", "XDG_RUNTIME_DIR=" + p.runtime, "GORACE=atexit_sleep_ms=0"}
	cmd.Dir = "/"
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (p *plain) must(args ...string) string {
	p.t.Helper()
	out, err := p.run(args...)
	if err != nil {
		p.t.Fatalf("vpcsim %v: %v: %s", args, err, out)
	}
	return out
}

// env is what `vpcsim env` prints.
func (p *plain) env(host string) map[string]string {
	p.t.Helper()
	out := map[string]string{}
	for line := range strings.FieldsSeq(p.must("env", host)) {
		key, value, _ := strings.Cut(line, "=")
		out[key] = value
	}
	return out
}

func (p *plain) call(endpoint, action string, params ...string) string {
	p.t.Helper()
	form := url.Values{"Action": {action}, "Version": {"2016-11-15"}}
	for _, text := range params {
		key, value, _ := strings.Cut(text, "=")
		form.Set(key, value)
	}
	resp, err := http.PostForm(endpoint, form)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return fmt.Sprintf("%d %s", resp.StatusCode, body)
}

// metadata asks a metadata service as the SDK does.
func (p *plain) metadata(endpoint, key string) string {
	p.t.Helper()
	get := func(method, path, header, value string) string {
		r, err := http.NewRequest(method, endpoint+path, http.NoBody)
		if err != nil {
			p.t.Fatal(err)
		}
		r.Header.Set(header, value)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			p.t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			p.t.Fatal(err)
		}
		return string(body)
	}
	token := get(http.MethodPut, "/latest/api/token", "X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "60")
	return get(http.MethodGet, "/latest/meta-data/"+key, "X-Aws-Ec2-Metadata-Token", token)
}

// EC2 and one IMDS per instance, without root: the same commands work on them.
func TestWithoutFabric(t *testing.T) {
	t.Parallel()
	p := newPlain(t)
	if out, err := p.run("up"); err == nil && os.Geteuid() == 0 || !strings.Contains(out, "--no-fabric") && err != nil {
		t.Errorf("up without root: %v, %s", err, out)
	}
	if out := p.must("up", "--no-fabric"); !strings.Contains(out, "node-a") {
		t.Errorf("up prints %s", out)
	}
	a, b := p.env("node-a"), p.env("node-b")
	api := a["AWS_ENDPOINT_URL_EC2"]
	if a["AWS_REGION"] != "us-west-2" || a["AWS_ACCESS_KEY_ID"] == "" || api == "" || api != b["AWS_ENDPOINT_URL_EC2"] {
		t.Errorf("environment %v", a)
	}
	for imds, want := range map[string]string{a["AWS_EC2_METADATA_SERVICE_ENDPOINT"]: "10.20.11.162", b["AWS_EC2_METADATA_SERVICE_ENDPOINT"]: "10.20.12.45"} {
		if got := p.metadata(imds, "local-ipv4"); got != want {
			t.Errorf("IMDS at %s says %q, want %q", imds, got, want)
		}
	}
	if got := p.call(api, "CreateNetworkInterface", "SubnetId=subnet-node-a"); !strings.HasPrefix(got, "200") {
		t.Errorf("creating an ENI: %s", got)
	}
	if got := p.must("calls"); !strings.Contains(got, "CreateNetworkInterface  ok       1") {
		t.Errorf("calls: %s", got)
	}
	if got := p.must("drops", "--json"); strings.TrimSpace(got) != "[]" {
		t.Errorf("drops without packets: %s", got)
	}
	if out, err := p.run("env", "node-z"); err == nil || !strings.Contains(out, `no instance "node-z"`) {
		t.Errorf("env of nobody: %v, %s", err, out)
	}
}

func TestFaultCommands(t *testing.T) {
	t.Parallel()
	p := newPlain(t)
	p.must("up", "--no-fabric")
	api := p.env("node-a")["AWS_ENDPOINT_URL_EC2"]
	p.must("fault", "DescribeVpcs", "--error", "InternalError", "--count", "1")
	if got := p.call(api, "DescribeVpcs"); !strings.HasPrefix(got, "500") {
		t.Errorf("with a fault: %s", got)
	}
	p.must("fault", "*", "--reply-latency", "30ms")
	begin := time.Now()
	p.call(api, "DescribeVpcs")
	if took := time.Since(begin); took < 30*time.Millisecond {
		t.Errorf("a slow answer came after %v", took)
	}
	p.must("fault", "--clear", "--page-size", "1", "--imds-lag", "20s", "--throttle", "2/0.001")
	if got := p.call(api, "DescribeSubnets"); strings.Count(got, "<subnetId>") != 1 {
		t.Errorf("page size 1: %s", got)
	}
	p.call(api, "DescribeSubnets")
	if got := p.call(api, "DescribeSubnets"); !strings.Contains(got, "RequestLimitExceeded") {
		t.Errorf("the third call of two: %s", got)
	}
	p.must("fault", "--throttle", "off")
	if got := p.must("fault"); !strings.Contains(got, `"imdsLag":"20s"`) || !strings.Contains(got, `"throttling":null`) || strings.Contains(got, "latency=") {
		t.Errorf("faults: %s", got)
	}
	for _, args := range [][]string{{"fault", "--throttle", "fast"}, {"fault", "--page-size", "-1"}, {"fault", "--imds-lag", "soon"}, {"detach", "node-a"}} {
		if out, err := p.run(args...); err == nil {
			t.Errorf("vpcsim %v: no error, %s", args, out)
		}
	}
}

func TestOperatorsCommands(t *testing.T) {
	t.Parallel()
	p := newPlain(t)
	p.must("up", "--no-fabric")
	api := p.env("node-a")["AWS_ENDPOINT_URL_EC2"]
	instance := p.metadata(p.env("node-a")["AWS_EC2_METADATA_SERVICE_ENDPOINT"], "instance-id")
	_, id, _ := strings.Cut(p.call(api, "CreateNetworkInterface", "SubnetId=subnet-node-a"), "<networkInterfaceId>")
	id, _, _ = strings.Cut(id, "<")
	attach := func() string {
		return p.call(api, "AttachNetworkInterface", "NetworkInterfaceId="+id, "InstanceId="+instance, "DeviceIndex=1")
	}
	if got := attach(); !strings.HasPrefix(got, "200") {
		t.Fatal(got)
	}
	p.must("detach", id)
	if got := attach(); !strings.HasPrefix(got, "200") {
		t.Errorf("attaching a detached ENI: %s", got)
	}
	p.must("delete", id)
	if got := attach(); !strings.Contains(got, "InvalidNetworkInterfaceID.NotFound") {
		t.Errorf("attaching a deleted ENI: %s", got)
	}
	if out, err := p.run("delete", id); err == nil || !strings.Contains(out, "does not exist") {
		t.Errorf("deleting it again: %v, %s", err, out)
	}
}

// Root may do without a fabric as well; down removes all of it.
func TestRootWithoutFabric(t *testing.T) {
	t.Parallel()
	s := newSim(t)
	s.must("up", "--no-fabric")
	s.fails("has no fabric", "exec", "node-a", "--", "true")
	if got := decode[[]ec2.Call](s, "calls"); len(got) > 0 {
		t.Errorf("calls of nobody: %v", got)
	}
	s.must("down")
	if _, err := os.Stat(s.path("")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("down leaves the directory: %v", err)
	}
}
