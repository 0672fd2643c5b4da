package netconf

import (
	"encoding/json"

	"github.com/containernetworking/cni/pkg/types/create"

	types100 "github.com/containernetworking/cni/pkg/types/100"
)

func createResult(version string, raw json.RawMessage) (*types100.Result, error) {
	res, err := create.Create(version, raw)
	if err != nil {
		return nil, err
	}
	return types100.NewResultFromResult(res)
}
