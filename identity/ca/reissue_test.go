package ca

import (
	"crypto/x509"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/naru-mesh/naru/store/memory"
)

func TestReissue(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		a, _ := start(t, Options{Store: memory.New()})
		before := issue(t, a, 0)
		if err := a.Reissue(); err != nil {
			t.Fatal(err)
		}
		after := issue(t, a, 0)
		if after[1].Equal(before[1]) || after[1].Issuer.String() != before[1].Issuer.String() {
			t.Errorf("%s, then %s", before[1].Subject, after[1].Subject)
		}
		if believed(t, a, before) != nil || believed(t, a, after) != nil {
			t.Error("one of both is not believed")
		}
		pass(2 * time.Minute) // it stays with the new one
		if again := issue(t, a, 0); !again[1].Equal(after[1]) {
			t.Error("the intermediate changes by itself")
		}

		writeGiven(t, folder, nil, 100*24*time.Hour, func(c *x509.Certificate) { c.MaxPathLenZero = true })
		b, _ := start(t, Options{Store: memory.New(), Given: &Given{ChainFile: filepath.Join(folder, "chain.pem"), KeyFile: filepath.Join(folder, "key.pem")}})
		if err := b.Reissue(); err == nil || !strings.Contains(err.Error(), "may have no intermediate below it") {
			t.Error(err)
		}
	})
}
