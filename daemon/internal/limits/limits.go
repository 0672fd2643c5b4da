// Package limits has what an instance type may have, and how many pods it carries
// for it: AWS's published limits of the common types, so that most nodes save a
// call of EC2 and the permission for it, and vpcctl answers without either.
package limits

import (
	_ "embed" // the table
	"encoding/csv"
	"fmt"
	"strconv"
	"strings"

	"github.com/vpcchain/vpcchain/daemon/internal/eni"
)

// table has instance_type, max_enis, ipv4_per_eni, hypervisor, max_branch_enis
// (EC2 User Guide, "Maximum IP addresses per network interface"; branch ENIs: EKS
// User Guide).
//
//go:embed limits.csv
var table string

// Of are those of an instance type, if the table has it.
func Of(instanceType string) (l eni.Limits, ok bool, err error) { return find(table, instanceType) }

// Family are the types of the table that are of the same family, as m5 of m5.large.
func Family(instanceType string) ([]string, error) {
	all, err := rows(table)
	if err != nil {
		return nil, err
	}
	family, _, _ := strings.Cut(instanceType, ".")
	var out []string
	for _, row := range all {
		if f, _, _ := strings.Cut(row[0], "."); f == family {
			out = append(out, row[0])
		}
	}
	return out, nil
}

func find(table, instanceType string) (l eni.Limits, ok bool, err error) {
	all, err := rows(table)
	if err != nil {
		return l, false, err
	}
	for _, row := range all {
		if len(row) < 4 || row[0] != instanceType {
			continue
		}
		enis, err := strconv.Atoi(row[1])
		if err != nil {
			return l, false, fmt.Errorf("reading the limits of %s: %w", instanceType, err)
		}
		addrs, err := strconv.Atoi(row[2])
		if err != nil {
			return l, false, fmt.Errorf("reading the limits of %s: %w", instanceType, err)
		}
		l = eni.Limits{ENIs: enis, IPv4PerENI: addrs, Hypervisor: row[3]}
		if len(row) > 4 && row[4] != "" {
			if l.Branches, err = strconv.Atoi(row[4]); err != nil {
				return l, false, fmt.Errorf("reading the limits of %s: %w", instanceType, err)
			}
		}
		return l, true, nil
	}
	return l, false, nil
}

// rows are those below the heading.
func rows(table string) ([][]string, error) {
	all, err := csv.NewReader(strings.NewReader(table)).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("reading the table of limits: %w", err)
	}
	return all[min(1, len(all)):], nil
}
