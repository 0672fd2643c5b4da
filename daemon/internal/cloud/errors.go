package cloud

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go"

	"github.com/vpcchain/vpcchain/daemon/internal/eni"
)

// Error is a refusal by EC2. errors.Is finds the class among eni's sentinels.
type Error struct {
	API     string // such as CreateNetworkInterface
	Code    string // EC2's error code
	Message string // EC2's text
	class   error
	cause   error
}

func (e *Error) Error() string {
	text := fmt.Sprintf("EC2 %s: %s: %s", e.API, e.Code, e.Message)
	if errors.Is(e.class, eni.ErrUnauthorized) {
		text += "; allow ec2:" + e.API + " in the instance's IAM role, or renew the credentials"
	}
	return text
}

// Unwrap gives the class, if there is one, and the SDK's error.
func (e *Error) Unwrap() []error {
	if e.class == nil {
		return []error{e.cause}
	}
	return []error{e.class, e.cause}
}

// classes of EC2's error codes (EC2 API reference, "Error codes").
var classes = map[string]error{ //nolint:gochecknoglobals // a table that nothing changes
	"InsufficientFreeAddressesInSubnet": eni.ErrSubnetFull,
	"InsufficientCidrBlocks":            eni.ErrSubnetFull,
	"PrivateIpAddressLimitExceeded":     eni.ErrAddressLimit,
	"AttachmentLimitExceeded":           eni.ErrENILimit,
	"NetworkInterfaceLimitExceeded":     eni.ErrENILimit,
	"UnauthorizedOperation":             eni.ErrUnauthorized,
	"AuthFailure":                       eni.ErrUnauthorized,
	"AccessDenied":                      eni.ErrUnauthorized,
	"AccessDeniedException":             eni.ErrUnauthorized,
	"InvalidClientTokenId":              eni.ErrUnauthorized,
	"SignatureDoesNotMatch":             eni.ErrUnauthorized,
	"ExpiredToken":                      eni.ErrUnauthorized,
	"RequestExpired":                    eni.ErrUnauthorized,
	"OptInRequired":                     eni.ErrUnauthorized,
	"InternalError":                     eni.ErrNoAnswer, // EC2 failed, at whatever point
	"InternalFailure":                   eni.ErrNoAnswer,
	"ServiceUnavailable":                eni.ErrNoAnswer,
	"Unavailable":                       eni.ErrNoAnswer,
}

func classOf(code, message string) error {
	if refusesGroups(code, message) {
		return badGroupsError{}
	}
	if c, ok := classes[code]; ok {
		return c
	}
	if _, ok := retry.DefaultThrottleErrorCodes[code]; ok || code == "Client.RequestLimitExceeded" {
		return eni.ErrThrottled
	}
	if strings.HasSuffix(code, ".NotFound") {
		return eni.ErrNotFound
	}
	return nil
}

// wrap gives an SDK error the house's shape. An error without an EC2 code (no
// connection, deadline, no credentials) keeps the SDK's text.
func wrap(api string, err error) error {
	var ae smithy.APIError
	if !errors.As(err, &ae) {
		if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
			return noAnswerError{fmt.Errorf("EC2 %s: no answer in time: %w", api, err)}
		}
		return noAnswerError{fmt.Errorf("EC2 %s: %w", api, err)}
	}
	message, _, _ := strings.Cut(ae.ErrorMessage(), " Encoded authorization failure message")
	return &Error{API: api, Code: ae.ErrorCode(), Message: message, class: classOf(ae.ErrorCode(), message), cause: err}
}

// noAnswerError is a failure without EC2's word: the call may have been applied.
type noAnswerError struct{ error }

func (e noAnswerError) Unwrap() []error { return []error{eni.ErrNoAnswer, e.error} }

// hasCode tells whether err is EC2's refusal with the code.
func hasCode(err error, code string) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == code
}

// badGroupsError is a refusal of security groups. A group that does not exist is also
// something that was not found.
type badGroupsError struct{}

func (badGroupsError) Error() string { return eni.ErrBadGroups.Error() }

func (badGroupsError) Is(target error) bool {
	return target == eni.ErrBadGroups || target == eni.ErrNotFound
}
