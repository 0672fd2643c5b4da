package cloud

import (
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// imdsPause is between two attempts at the instance metadata.
const imdsPause = 50 * time.Millisecond

// soon is the retryer of the instance metadata. They are this machine's own
// service and answer in milliseconds, but a busy hypervisor lets one request
// time out now and then. The SDK would wait up to a second before each further
// attempt, and the daemon's start with it: longer than a pod's ADD puts up with
// a daemon that is replaced.
type soon struct{ aws.RetryerV2 }

func (soon) RetryDelay(int, error) (time.Duration, error) { return imdsPause, nil }
