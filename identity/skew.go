package identity

import (
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// Backdate is by how much certificates are valid before they are made, so that
// clocks may differ.
const Backdate = 5 * time.Minute

// maxSkew is by how much a clock may differ before it is worth a word: tokens
// are checked with Leeway.
const maxSkew = Leeway / 2

// Skew says by how much our clock is behind (positive) or ahead of (negative)
// that of a server, whose time came in the answer to a question that we sent at
// asked and whose answer we had at answered. The true figure is at most
// uncertain away.
func Skew(server, asked, answered time.Time) (skew, uncertain time.Duration) {
	half := answered.Sub(asked) / 2
	return server.Sub(asked.Add(half)), half
}

// Surely is the least that a skew may be: what is within the uncertainty may be
// the way of the answer, and is no skew.
func Surely(skew, uncertain time.Duration) time.Duration {
	switch {
	case skew > uncertain:
		return skew - uncertain
	case skew < -uncertain:
		return skew + uncertain
	}
	return 0
}

// SkewMessage says what a skew will lead to, "" where it does not matter.
func SkewMessage(server string, skew, uncertain time.Duration) string {
	size, word := skew, "behind"
	if skew < 0 {
		size, word = -skew, "ahead of"
	}
	if size-uncertain <= maxSkew {
		return ""
	}
	end := "tokens may be refused"
	if size-uncertain > Backdate {
		end = "certificates and tokens will be refused"
	}
	return fmt.Sprintf("the clock of this machine is %s %s that of %s: %s (set the clock, for example by NTP)", size.Round(time.Second), word, server, end)
}

// ByClock makes of an error about a certificate whose time has not come, or is
// over, what the clock of this machine has to do with it. Other errors stay as
// they are.
func ByClock(err error, now time.Time) error {
	var invalid x509.CertificateInvalidError
	if !errors.As(err, &invalid) || invalid.Reason != x509.Expired || invalid.Cert == nil {
		return err
	}
	c := invalid.Cert
	if now.Before(c.NotBefore) {
		// Whoever signed it did so by a clock that was further on than that.
		return fmt.Errorf("it is valid from %s, and it is %s: the clock of this machine is behind by %s at least, or that of the authority is ahead (set the clock, for example by NTP)",
			stamp(c.NotBefore), stamp(now), c.NotBefore.Sub(now).Round(time.Second))
	}
	return fmt.Errorf("it expired at %s, and it is %s: it was not renewed for %s, or a clock is wrong", stamp(c.NotAfter), stamp(now), now.Sub(c.NotAfter).Round(time.Second))
}
