// Package install puts the chain onto a node and takes it off again: `vpcctl
// install` and `vpcctl uninstall`.
//
// An installation is a plan, computed from the settings and one look at the
// directories: plugins into the runtime's directory, each by rename, so that a
// plugin that runs keeps its file; a name for routing table 5120; then, once
// vpc-ipamd serves, the conflist, by rename as well. What is right already is not
// in the plan. A plugin of somebody else's that ours replaces, and a conflist that
// is retired, is kept beside under a name that no runtime reads.
//
// An uninstallation needs no daemon, and none may run: conflist, pods' links where
// it is forced, branch ENIs' links, SNAT, rules, routes, addresses of secondary
// ENIs, sysctls, plugins, the state under /run/vpc-cni. Each goes on after an
// error of the others and finds nothing to do the second time.
package install
