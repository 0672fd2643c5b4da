package eni

import "errors"

// Classes of EC2 errors that the daemon decides by. The cloud package wraps
// EC2's own code and message together with one of these, for errors.Is.
var (
	// ErrSubnetFull: the subnet has too few free addresses, or no free /28 block.
	ErrSubnetFull = errors.New("subnet has too few free addresses")
	// ErrThrottled: EC2 refused the call for its rate; later it may succeed.
	ErrThrottled = errors.New("EC2 throttles the call")
	// ErrAddressLimit: the ENI has all the addresses that the instance type allows.
	ErrAddressLimit = errors.New("the ENI's address limit is reached")
	// ErrENILimit: the instance has all its ENIs, or the account does.
	ErrENILimit = errors.New("the ENI limit is reached")
	// ErrNotFound: the ENI, attachment, subnet or group does not exist (any more).
	ErrNotFound = errors.New("not found in EC2")
	// ErrNoAnswer: nobody knows whether EC2 applied the call.
	ErrNoAnswer = errors.New("EC2 did not answer")
	// ErrUnauthorized: the credentials are missing, expired, or not allowed the call.
	ErrUnauthorized = errors.New("not allowed by IAM")
)
