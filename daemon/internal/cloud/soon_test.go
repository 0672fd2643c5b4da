package cloud

import (
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vpcchain/vpcchain/integration/vpcsim/ec2"
	"github.com/vpcchain/vpcchain/integration/vpcsim/topology"
)

// everyOther refuses every other request.
type everyOther struct {
	HTTPClient
	n atomic.Int64
}

func (e *everyOther) Do(r *http.Request) (*http.Response, error) {
	if e.n.Add(1)%2 == 1 {
		return nil, errors.New("timeout awaiting response headers")
	}
	return e.HTTPClient.Do(r)
}

// Instance metadata that fail now and then do not hold the daemon's start up.
func TestMetadataFailNowAndThen(t *testing.T) {
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://169.254.169.254")
	topo, err := topology.Parse([]byte(tinyVPC))
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		sim, err := ec2.New(topo)
		if err != nil {
			t.Fatal(err)
		}
		whole := &direct{ec2: sim.Client(), imds: sim.IMDS(func(*http.Request) (string, bool) { return "node-a", true })}
		flaky := &everyOther{HTTPClient: whole}
		start := time.Now()
		c, err := New(t.Context(), Options{HTTPClient: flaky, Region: "us-west-2"})
		if err != nil {
			t.Fatal(err)
		}
		if c.InstanceID() != "i-0123" || flaky.n.Load() < 3 {
			t.Errorf("instance %q after %d requests", c.InstanceID(), flaky.n.Load())
		}
		if took := time.Since(start); took > 4*imdsPause {
			t.Errorf("took %v", took)
		}
	})
}
