// Package cnierr is the one place where an error gets its CNI code. Code that
// finds out what is wrong says so with one of the classes below; From, at the
// end of every verb, turns it into the error that the runtime reads.
package cnierr

import (
	"errors"
	"fmt"

	"github.com/containernetworking/cni/pkg/types"
)

// Class says what kind of failure an error is.
type Class uint

// The classes are CNI's error codes.
const (
	Internal     Class = Class(types.ErrInternal)             // 999
	UnknownPod   Class = Class(types.ErrUnknownContainer)     // 3: the runtime need not DEL
	IO           Class = Class(types.ErrIOFailure)            // 5
	Config       Class = Class(types.ErrInvalidNetworkConfig) // 7
	Netns        Class = 8                                    // the library's ErrInvalidNetNS
	TryAgain     Class = Class(types.ErrTryAgainLater)        // 11
	NotAvailable Class = Class(types.ErrPluginNotAvailable)   // 50, STATUS
	Limited      Class = Class(types.ErrLimitedConnectivity)  // 51, STATUS
)

type classified struct {
	class Class
	err   error
}

func (c *classified) Error() string { return c.err.Error() }
func (c *classified) Unwrap() error { return c.err }

// As gives err a class; nil stays nil. The innermost class wins, since what
// found the failure knows best.
func As(class Class, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*classified](err); ok {
		return err
	}
	return &classified{class, err}
}

// New is As of a formatted error.
func New(class Class, format string, args ...any) error {
	return As(class, fmt.Errorf(format, args...))
}

// From is the error for the runtime; an error without a class is internal.
func From(err error) error {
	if err == nil {
		return nil
	}
	class := Internal
	if c, ok := errors.AsType[*classified](err); ok {
		class = c.class
	}
	return types.NewError(uint(class), err.Error(), "")
}
