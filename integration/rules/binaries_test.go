package rules

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Sizes in bytes, with room for a tenth more than measured: a plugin's start is
// mostly the kernel mapping its pages, and an import that doubles it shows here.
func TestBinaries(t *testing.T) {
	budget := map[string]int64{
		"vpc-ipam": 3_800_000, "vpc-veth": 4_000_000, "vpc-snat": 4_400_000, "vpc-sgpp": 4_000_000, "vpc-ipamd": 32_000_000, "vpc-kube": 19_000_000, "vpcctl": 12_000_000,
	}
	for name, most := range budget {
		path := filepath.Join(root, "bin", name)
		info, err := os.Stat(path)
		if err != nil {
			t.Errorf("%v: run `make build` first", err)
			continue
		}
		if info.Size() > most {
			t.Errorf("%s has %d bytes, more than %d", name, info.Size(), most)
		}
		out, err := exec.Command("go", "version", "-m", path).Output() //nolint:gosec // the test's own words
		if err != nil || !strings.Contains(string(out), "CGO_ENABLED=0") {
			t.Errorf("%s is not static: %v", name, err)
		}
	}
}

// The modules that the project's own code imports; another one needs a reason
// in the commit message, and a line here.
func TestHouseLibraries(t *testing.T) {
	allowed := map[string]string{
		"github.com/containernetworking/cni": "", "github.com/containernetworking/plugins": "", "github.com/vishvananda/netlink": "",
		"github.com/vishvananda/netns": "netlink's namespaces", "github.com/coreos/go-iptables": "", "google.golang.org/grpc": "",
		"google.golang.org/protobuf": "grpc's messages", "golang.org/x/net": "the compression of HTTP/2 headers", "go.etcd.io/bbolt": "", "github.com/prometheus/client_golang": "",
		"github.com/google/go-cmp": "", "github.com/rogpeppe/go-internal": "testscript", "golang.org/x/sys": "system calls",
		"golang.org/x/sync": "errgroup", "github.com/google/nftables": "nft over netlink, without the nft binary",
		"k8s.io/client-go": "vpc-kube's list and watch", "k8s.io/apimachinery": "its types", "k8s.io/api": "its types", "k8s.io/klog/v2": "its log",
		"go.opentelemetry.io/proto/otlp": "messages of traces for a collector", "sigs.k8s.io/yaml": "topology files in YAML, decoded by their JSON names",
	}
	cmd := exec.Command("go", "list", "-m", "-f", "{{if not (or .Indirect .Main)}}{{.Path}}{{end}}", "all")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for path := range strings.FieldsSeq(string(out)) {
		if _, ok := allowed[path]; !ok && !strings.HasPrefix(path, "github.com/aws/") {
			t.Errorf("%s is not among the libraries of the house", path)
		}
	}
}
