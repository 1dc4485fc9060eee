package observe

import "strings"

// MostBrief bounds Brief, in bytes.
const MostBrief = 256

// Brief is what a page shows of err: as much as fits into MostBrief, "" of none.
func Brief(err error) string {
	if err == nil {
		return ""
	}
	s := err.Error()
	return strings.ToValidUTF8(s[:min(len(s), MostBrief)], "")
}
