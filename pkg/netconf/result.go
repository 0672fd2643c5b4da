package netconf

import (
	"encoding/json"
	"fmt"

	"github.com/containernetworking/cni/pkg/types/create"

	types100 "github.com/containernetworking/cni/pkg/types/100"
)

// refuseNull: the library's conversions take each entry of a list for an object
// and end the process at a null.
func refuseNull(raw json.RawMessage) error {
	var lists struct {
		Interfaces, IPs, Routes []json.RawMessage
	}
	if err := json.Unmarshal(raw, &lists); err != nil {
		return err
	}
	for name, list := range map[string][]json.RawMessage{"interfaces": lists.Interfaces, "ips": lists.IPs, "routes": lists.Routes} {
		for i, entry := range list {
			if string(entry) == "null" {
				return fmt.Errorf("%s[%d] is null", name, i)
			}
		}
	}
	return nil
}

func createResult(version string, raw json.RawMessage) (*types100.Result, error) {
	if err := refuseNull(raw); err != nil {
		return nil, err
	}
	res, err := create.Create(version, raw)
	if err != nil {
		return nil, err
	}
	return types100.NewResultFromResult(res)
}
