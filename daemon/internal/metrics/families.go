package metrics

import "slices"

// Family is a metric: what docs/metrics.md says of it, and what /metrics does.
type Family struct {
	Name   string
	Type   string // gauge, counter, histogram
	Help   string
	Labels []string
	Stock  Alias
}

// Alias is the name under which the stock AWS VPC CNI has the same; with "" it
// has nothing of the same meaning.
type Alias struct {
	Name   string
	Labels []string          // its names of the labels, in the order of ours
	Always map[string]string // labels that have one value
}

func as(name string, labels ...string) Alias { return Alias{Name: name, Labels: labels} }

// deleted is the only reason that the stock plugin gives for a release.
func deleted(name string) Alias {
	return Alias{Name: name, Always: map[string]string{"reason": "PodDeleted"}}
}

const (
	gauge     = "gauge"
	counter   = "counter"
	histogram = "histogram"
)

// Families are all metrics but those of the Go runtime and of the process.
func Families() []Family {
	return slices.Concat(poolFamilies(), loopFamilies(), requestFamilies(), ec2Families())
}

func poolFamilies() []Family {
	return []Family{
		{addresses, gauge, "Addresses of the ENIs for pods by state: free, used, cooling after use, withheld because the kernel shows them in use, reserved on an ENI that carries no pods.", []string{"state"}, Alias{}},
		{addressesTotal, gauge, "Addresses that pods have or may have: free, used and cooling ones.", nil, as("awscni_total_ip_addresses")},
		{addressesAssigned, gauge, "Addresses that pods have.", nil, as("awscni_assigned_ip_addresses")},
		{addressesWanted, gauge, "Addresses that the warm targets want now, those of pods included.", nil, Alias{}},
		{addressesLimit, gauge, "Addresses for pods that the node can have, by instance type, mode, MAX_ENI and MAX_PODS.", nil, as("awscni_ip_max")},
		{addressesLost, gauge, "Pods whose address is on no ENI any more.", nil, Alias{}},
		{enis, gauge, "Attached ENIs by state: ready, unready while its link is missing or wrong, reserved for others than pods.", []string{"state"}, Alias{}},
		{enisAllocated, gauge, "Attached ENIs.", nil, as("awscni_eni_allocated")},
		{enisLimit, gauge, "ENIs that the node can have, by instance type and MAX_ENI.", nil, as("awscni_eni_max")},
		{eniAssigned, gauge, "Addresses of the ENI that pods have.", []string{"eni"}, as("awscni_assigned_ip_per_eni", "eni")},
		{prefixes, gauge, "Delegated /28 prefixes of the ENIs.", nil, as("awscni_total_ipv4_prefixes")},
		{branches, gauge, "Branch ENIs by state: used, warm, cooling after use, creating, deleting, doubtful. Absent where pods get none.", []string{"state"}, Alias{}},
		{branchesLimit, gauge, "Branch ENIs that the instance type carries. Absent where pods get none.", nil, Alias{}},
		{waiters, gauge, "ADDs that wait for an address (kind pool) or for a branch ENI (kind branch).", []string{"kind"}, Alias{}},
		{podsExpected, gauge, "Pods that Kubernetes has sent here and that have not asked for an address yet.", nil, Alias{}},
		{subnetFree, gauge, "Free addresses of a subnet when EC2 was asked last. Absent until it was: no call is made for this.", []string{"subnet"}, Alias{}},
		{subnetAsked, gauge, "When EC2 was asked last for the free addresses of a subnet.", []string{"subnet"}, Alias{}},
		{subnetFull, gauge, "1 for a subnet that had no room when an ENI or an address was last wanted in it, and for any, when none that may be used had. Absent otherwise.", []string{"subnet"}, Alias{}},
	}
}

func loopFamilies() []Family {
	return []Family{
		{ready, gauge, "1 if the next pod would get an address, as /readyz and STATUS say; 0 otherwise.", nil, Alias{}},
		{degraded, gauge, "1 if something is wrong, whether pods are served or not, as `vpcctl status` says; 0 otherwise.", nil, Alias{}},
		{rounds, counter, "Rounds of the loop that compares the node with what is wanted.", nil, Alias{}},
		{lastRound, gauge, "When the loop ended its last round.", nil, Alias{}},
		{failuresInRow, gauge, "Attempts to grow the pool or to ask EC2 what the ENIs have that failed one after the other.", nil, Alias{}},
		{actions, counter, "Changes that the loop asked EC2 for, by action (assign, create, unassign, remove, trunk) and result (done, failed).", []string{"action", "result"}, Alias{}},
		{actionsRunning, gauge, "Changes that the loop is asking EC2 for.", []string{"action"}, Alias{}},
		{heals, counter, "Objects of the node's network put back after somebody else changed them, by kind: rule, route, link, address, sysctl, branch, snat.", []string{"object"}, Alias{}},
		{orphans, counter, "Addresses released without a DEL, because interface and network namespace of the pod were gone.", nil, Alias{}},
		{reported, gauge, "When vpc-kube reported last. Absent until it has.", nil, Alias{}},
		{buildInfo, gauge, "1; the version of the program, and of Go.", []string{"version", "goversion"}, Alias{}},
	}
}

func requestFamilies() []Family {
	return []Family{
		{rpcDuration, histogram, "Time that vpc-ipamd took for a request on its socket, waiting for an address included, by gRPC method and code.", []string{"method", "code"}, Alias{}},
		{assigns, counter, "Requests for an address.", nil, as("awscni_add_ip_req_count")},
		{releases, counter, "Requests to release an address.", nil, deleted("awscni_del_ip_req_count")},
		{noAddress, counter, "Requests for an address of the pool that ended without one.", nil, as("awscni_no_available_ip_addresses")},
		{pluginDuration, histogram, "Time that a plugin took, by its name, the CNI verb and the result (ok, error), from the flight recorder: what ended while vpc-ipamd ran.", []string{"plugin", "verb", "result"}, Alias{}},
	}
}

func ec2Families() []Family {
	return []Family{
		{ec2Duration, histogram, "Time of one request to EC2, by action; repetitions are requests of their own.", []string{"action"}, Alias{}},
		{ec2Errors, counter, "Requests to EC2 that failed, by action and EC2's error code; NoAnswer for none in time.", []string{"action", "code"}, Alias{}},
		{ec2Throttled, counter, "Requests that EC2 refused because there were too many, by action.", []string{"action"}, Alias{}},
		{ec2Waited, counter, "Time that calls waited for a token of vpc-ipamd's own bucket of the action.", []string{"action"}, Alias{}},
		{ec2Calls, counter, "Calls of EC2, each with its repetitions, by action.", []string{"action"}, as("awscni_ec2api_req_count", "fn")},
		{ec2CallsFailed, counter, "Calls of EC2 that failed in the end, by action and error code.", []string{"action", "code"}, as("awscni_aws_api_error_count", "api", "error")},
	}
}

// Names of the metrics, here once.
const (
	addresses         = "vpcchain_addresses"
	addressesTotal    = "vpcchain_addresses_allocated"
	addressesAssigned = "vpcchain_addresses_assigned"
	addressesWanted   = "vpcchain_addresses_wanted"
	addressesLimit    = "vpcchain_addresses_limit"
	addressesLost     = "vpcchain_addresses_lost"
	enis              = "vpcchain_enis"
	enisAllocated     = "vpcchain_enis_attached"
	enisLimit         = "vpcchain_enis_limit"
	eniAssigned       = "vpcchain_eni_addresses_assigned"
	prefixes          = "vpcchain_prefixes"
	branches          = "vpcchain_branch_enis"
	branchesLimit     = "vpcchain_branch_enis_limit"
	waiters           = "vpcchain_waiters"
	podsExpected      = "vpcchain_pods_expected"
	subnetFree        = "vpcchain_subnet_free_addresses"
	subnetAsked       = "vpcchain_subnet_asked_timestamp_seconds"
	subnetFull        = "vpcchain_subnet_full"

	ready          = "vpcchain_ready"
	degraded       = "vpcchain_degraded"
	rounds         = "vpcchain_loop_rounds_total"
	lastRound      = "vpcchain_loop_last_round_timestamp_seconds"
	failuresInRow  = "vpcchain_ec2_failures_in_a_row"
	actions        = "vpcchain_pool_actions_total"
	actionsRunning = "vpcchain_pool_actions_running"
	heals          = "vpcchain_heals_total"
	orphans        = "vpcchain_orphans_released_total"
	reported       = "vpcchain_kubernetes_report_timestamp_seconds"
	buildInfo      = "vpcchain_build_info"

	rpcDuration    = "vpcchain_rpc_duration_seconds"
	assigns        = "vpcchain_assign_requests_total"
	releases       = "vpcchain_release_requests_total"
	noAddress      = "vpcchain_assign_without_address_total"
	pluginDuration = "vpcchain_plugin_duration_seconds"

	ec2Duration    = "vpcchain_ec2_request_duration_seconds"
	ec2Errors      = "vpcchain_ec2_request_errors_total"
	ec2Throttled   = "vpcchain_ec2_throttled_requests_total"
	ec2Waited      = "vpcchain_ec2_bucket_wait_seconds_total"
	ec2Calls       = "vpcchain_ec2_calls_total"
	ec2CallsFailed = "vpcchain_ec2_calls_failed_total"
)
