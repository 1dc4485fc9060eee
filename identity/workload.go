package identity

import "strings"

// IsWorkload says whether a SPIFFE ID may be a workload's, where own is our trust
// domain. In our own those are alone spiffe://<own>/ns/<namespace>/sa/<account>:
// the certificates with which machines and control planes meet each other are
// signed by the same authority, and prove no workload. Another trust domain names
// its workloads as it likes; only what a naru there would call its machines
// (/node/<name>) and control planes (/control/<name>) is none.
func IsWorkload(id, own string) bool {
	rest, ok := strings.CutPrefix(id, scheme)
	if !ok {
		return false
	}
	domain, path, _ := strings.Cut(rest, "/")
	if domain == own {
		path, ok = strings.CutPrefix(path, "ns/")
		namespace, path, _ := strings.Cut(path, "/")
		account, found := strings.CutPrefix(path, "sa/")
		return ok && found && namespace != "" && account != "" && strings.IndexByte(account, '/') < 0
	}
	for _, of := range [...]string{"node/", "control/"} {
		if name, ok := strings.CutPrefix(path, of); ok && name != "" && strings.IndexByte(name, '/') < 0 {
			return false
		}
	}
	return true
}
