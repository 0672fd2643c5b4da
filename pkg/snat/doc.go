// Package snat is the node's outbound NAT for pods: the AWS-SNAT-CHAIN, the
// connection mark that sends internet traffic of pods on secondary ENIs out by
// the primary ENI, and routing rule 1024 for that mark. The vpc-snat plugin and
// vpc-ipamd both use it; a file lock, taken only when something is wrong, keeps
// them from writing at the same time.
//
// What is wanted is a value: Settings (parsed once, from the environment of the
// daemon or a conflist) give a Desired. Three writers make it true:
//
//   - iptables, nat table: the chains and their jump from POSTROUTING, one
//     iptables-restore per table of single commands;
//   - nftables, table ip vpc-snat: the mark, in both backends, and the SNAT
//     itself with the nftables backend, one transaction;
//   - rtnetlink: rule 1024.
//
// The mark is decided in a prerouting chain of priority -90: after every DNAT
// (-100), so that it sees the endpoint and not the ClusterIP, and for the first
// packet in the original direction only, so that replies of inbound connections
// go back the way they came.
//
// A node that is right costs an ADD one netlink request: what was verified last
// is on record with the generation of the nftables ruleset, and the kernel
// counts that up with every change of anybody. When it differs, the handles of
// our own rules are read; a rule never changes under its handle.
package snat
