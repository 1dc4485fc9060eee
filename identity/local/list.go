package local

import (
	"crypto/sha256"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Root is one for people to look at, and to trust.
type Root struct {
	File        string    `json:"file"`
	Fingerprint string    `json:"sha256"`   // of the certificate, in hex
	ValidFor    []string  `json:"validFor"` // the only names that it can sign, and those below them
	NotAfter    time.Time `json:"notAfter"`
}

// Roots lists those in folder; none where there is no folder.
func Roots(folder string) (list []Root, err error) {
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		at := filepath.Join(folder, e.Name())
		r, err := readRoot(at)
		if err != nil || e.Name()[0] == '.' {
			continue // not ours, or being made
		}
		sum := sha256.Sum256(r.cert.Raw)
		valid := append([]string(nil), r.cert.PermittedDNSDomains...)
		for _, n := range r.cert.PermittedIPRanges {
			valid = append(valid, n.String())
		}
		list = append(list, Root{File: filepath.Join(at, rootFile), Fingerprint: hexWithColons(sum[:]), ValidFor: valid, NotAfter: r.cert.NotAfter})
	}
	return list, nil
}

func hexWithColons(b []byte) string {
	const digits = "0123456789ABCDEF"
	out := make([]byte, 0, 3*len(b))
	for i, c := range b {
		if i > 0 {
			out = append(out, ':')
		}
		out = append(out, digits[c>>4], digits[c&15])
	}
	return string(out)
}
