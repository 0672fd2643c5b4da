// Package cloud is the daemon's door to EC2 and to the instance metadata
// service, and the only package that imports the AWS SDK. It turns SDK types
// into those of package eni and EC2's error codes into eni's sentinels.
//
// It decides nothing and keeps no state but the CIDRs of subnets, which never
// change. It retries in one place, the SDK's standard retryer, and repeats a
// call that may have been applied only where EC2 makes that harmless.
package cloud

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/smithy-go/middleware"

	"github.com/vpcchain/vpcchain/daemon/internal/eni"
)

// Options of New. The zero value is right on an instance.
type Options struct {
	// Region overrides AWS_REGION and the instance metadata.
	Region string
	// HTTPClient carries the requests to EC2 and to IMDS; nil is a client of
	// the SDK with Timeout. A test gives one that calls a simulator's handler
	// in the same goroutine, so that virtual time can advance, and credentials
	// by environment.
	HTTPClient HTTPClient
	// Timeout of one HTTP request to EC2; 0 is DefaultTimeout.
	Timeout time.Duration
	// Version of the program, for the user agent.
	Version string
	// Gate, if set, is called before every attempt of an EC2 call with the
	// API's name; an error ends the call. A token bucket per API fits here.
	Gate func(ctx context.Context, api string) error
	// Trace, if set, hears of every call.
	Trace Trace
	// Observer, if set, hears how requests and calls went.
	Observer Observer
}

// HTTPClient sends a request; *http.Client is one.
type HTTPClient interface {
	Do(*http.Request) (*http.Response, error)
}

// DefaultTimeout of one HTTP request to EC2, that of the stock daemon.
const DefaultTimeout = 10 * time.Second

// Client is the view of one instance. Its methods may be called concurrently.
type Client struct {
	ec2      *ec2.Client
	imds     *imds.Client
	retryer  aws.RetryerV2
	region   string
	instance string

	mu      sync.Mutex
	subnets map[string]netip.Prefix // IPv4 CIDR by subnet id; EC2 never changes one
	rooms   map[string]eni.SubnetRoom
}

// New finds out by IMDS which instance this is and prepares the calls to EC2.
// AWS_ENDPOINT_URL_EC2 and AWS_EC2_METADATA_SERVICE_ENDPOINT are honoured, as
// is the SDK's usual chain of credentials.
func New(ctx context.Context, o Options) (*Client, error) {
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	cfg, err := config.LoadDefaultConfig(ctx,
		config.WithHTTPClient(awshttp.NewBuildableClient().WithTimeout(o.Timeout)),
		config.WithRegion(o.Region),
		config.WithRetryer(func() aws.Retryer { return newRetryer() }),
		config.WithAPIOptions([]func(*middleware.Stack) error{
			awsmiddleware.AddUserAgentKeyValue("vpc-ipamd", o.Version),
		}))
	if err != nil {
		return nil, fmt.Errorf("loading the AWS configuration: %w", err)
	}
	if o.HTTPClient != nil {
		// Not earlier: AWS_CA_BUNDLE wants to change the SDK's own client and
		// refuses any other.
		cfg.HTTPClient = o.HTTPClient
	}
	c := &Client{subnets: map[string]netip.Prefix{}, rooms: map[string]eni.SubnetRoom{}}
	c.imds = imds.NewFromConfig(cfg, func(io *imds.Options) {
		io.EnableFallback = aws.FalseTernary // IMDSv2 only
		io.Retryer, io.DisableDefaultMaxBackoff = soon{newRetryer()}, true
	})
	if c.instance, err = c.read(ctx, "instance-id"); err != nil {
		return nil, fmt.Errorf("finding out which instance this is: %w", err)
	}
	if cfg.Region == "" {
		if cfg.Region, err = c.read(ctx, "placement/region"); err != nil {
			return nil, fmt.Errorf("finding out the region: %w", err)
		}
	}
	c.region = cfg.Region
	c.retryer = newRetryer()
	c.ec2 = ec2.NewFromConfig(cfg, func(eo *ec2.Options) {
		eo.Retryer = c.retryer
		if o.Gate != nil {
			eo.APIOptions = append(eo.APIOptions, gate(o.Gate))
		}
		if o.Trace != nil {
			eo.APIOptions = append(eo.APIOptions, traced(o.Trace))
		}
		if o.Observer != nil {
			eo.APIOptions = append(eo.APIOptions, observe(o.Observer))
		}
	})
	return c, nil
}

// InstanceID is this instance's id, as IMDS said when the client was made.
func (c *Client) InstanceID() string { return c.instance }

// gate calls f before each attempt: behind the retry middleware.
func gate(f func(context.Context, string) error) func(*middleware.Stack) error {
	m := middleware.FinalizeMiddlewareFunc("Gate", func(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
		if err := f(ctx, awsmiddleware.GetOperationName(ctx)); err != nil {
			return middleware.FinalizeOutput{}, middleware.Metadata{}, fmt.Errorf("waiting for a turn: %w", err)
		}
		return next.HandleFinalize(ctx, in)
	})
	return func(s *middleware.Stack) error { return s.Finalize.Insert(m, "Retry", middleware.After) }
}
