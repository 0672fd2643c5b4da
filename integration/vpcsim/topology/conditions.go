package topology

import (
	"encoding/json"
	"fmt"
)

// Conditions say how EC2, IMDS and links behave besides single faults. The zero
// value is a region where everything happens at once and nothing is limited.
type Conditions struct {
	// IMDSLag is how long IMDS stays behind EC2.
	IMDSLag Duration `json:"imdsLag"`
	// LinkDelay is how long after an attachment the link appears in the instance.
	LinkDelay Duration `json:"linkDelay"`
	// DetachDelay is how long an ENI stays in use after DetachNetworkInterface.
	DetachDelay Duration `json:"detachDelay"`
	// NewENIDelay is how long after CreateNetworkInterface no call knows the ENI.
	NewENIDelay Duration `json:"newENIDelay"`
	// ChangeDelay is how long Describe* shows an ENI as it was before a change:
	// its attachment, its addresses, its end.
	ChangeDelay Duration `json:"changeDelay"`
	// PageSize is how many items a Describe* lists at most; 0 is EC2's 1000.
	PageSize int `json:"pageSize"`
	// ENIQuota is how many ENIs the account may have; 0 is EC2's 5000.
	ENIQuota int `json:"eniQuota"`
	// Throttling limits the rate of calls; nil: not at all.
	Throttling *Throttling `json:"throttling"`
}

// Throttling is EC2's: every API has a token bucket, by default the one that EC2
// documents for its category, and the account may have one for all of them.
type Throttling struct {
	Account *Bucket           `json:"account"`
	Actions map[string]Bucket `json:"actions"` // instead of EC2's own; "*" is every other action
}

// Bucket holds Burst tokens and gets PerSecond back; a call takes one.
type Bucket struct {
	Burst     int     `json:"burst"`
	PerSecond float64 `json:"perSecond"`
}

// Check tells what is wrong with the conditions.
func (c Conditions) Check() error {
	for name, d := range map[string]Duration{
		"imdsLag": c.IMDSLag, "linkDelay": c.LinkDelay, "detachDelay": c.DetachDelay, "newENIDelay": c.NewENIDelay, "changeDelay": c.ChangeDelay,
	} {
		if d < 0 {
			return fmt.Errorf("%s is negative", name)
		}
	}
	if c.PageSize < 0 || c.PageSize > 1000 {
		return fmt.Errorf("pageSize %d: 1 to 1000 is allowed, 0 is 1000", c.PageSize)
	}
	if c.ENIQuota < 0 {
		return fmt.Errorf("eniQuota %d is negative", c.ENIQuota)
	}
	if c.Throttling == nil {
		return nil
	}
	if b := c.Throttling.Account; b != nil {
		if err := b.check("throttling.account"); err != nil {
			return err
		}
	}
	for name, b := range c.Throttling.Actions {
		if err := b.check("throttling.actions." + name); err != nil {
			return err
		}
	}
	return nil
}

func (b Bucket) check(name string) error {
	if b.Burst < 1 || b.PerSecond <= 0 {
		return fmt.Errorf("%s: a burst from 1 and a rate above 0 are allowed, not %d and %g", name, b.Burst, b.PerSecond)
	}
	return nil
}

// String is the conditions in one line of JSON.
func (c Conditions) String() string {
	raw, err := json.Marshal(c)
	if err != nil {
		return err.Error()
	}
	return string(raw)
}

func (c *checker) conditions() error { return c.t.Check() }
