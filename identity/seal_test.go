package identity

import (
	"bytes"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestSealer(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "data")
	// Several processes that start at once have one key.
	var all [8]*Sealer
	var wait sync.WaitGroup
	for i := range all {
		wait.Go(func() {
			s, err := OpenSealer("", folder)
			if err != nil {
				t.Error(err)
				return
			}
			all[i] = s
		})
	}
	wait.Wait()
	secret := []byte("a private key")
	sealed := all[0].Seal("the key", secret)
	for _, s := range all {
		if plain, err := s.Open("the key", sealed); err != nil || !bytes.Equal(plain, secret) {
			t.Fatal(err)
		}
	}
	if bytes.Contains(sealed, secret) || bytes.Equal(sealed, all[0].Seal("the key", secret)) {
		t.Error("what is sealed can be read, or recognised")
	}
	info, err := os.Stat(all[0].Made)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Error(info, err)
	}
	if left, _ := os.ReadDir(folder); len(left) != 1 {
		t.Errorf("%d files are left", len(left))
	}
	spoilt := bytes.Clone(sealed)
	spoilt[len(spoilt)-1] ^= 1
	for _, c := range []struct {
		what string
		text []byte
	}{{"another purpose", sealed}, {"the key", spoilt}, {"the key", sealed[:3]}} {
		if _, err := all[0].Open(c.what, c.text); !errors.Is(err, ErrSealed) {
			t.Error(err)
		}
	}
}

func TestSealerFiles(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	key := bytes.Repeat([]byte{7}, 32)
	var first *Sealer
	for name, c := range map[string]struct {
		text string
		mode os.FileMode
		err  string
	}{
		"raw":    {text: string(key), mode: 0o600},
		"base64": {text: base64.StdEncoding.EncodeToString(key) + "\n", mode: 0o400},
		"hex":    {text: strings.Repeat("07", 32) + "\n", mode: 0o600},
		"short":  {text: "0707", mode: 0o600, err: "32 bytes, not 4 (write one with: openssl rand -hex 32)"},
		"open":   {text: string(key), mode: 0o644, err: "can be read by others (mode 0644): chmod 600"},
	} {
		file := filepath.Join(folder, name)
		if err := os.WriteFile(file, []byte(c.text), c.mode); err != nil {
			t.Fatal(err)
		}
		s, err := OpenSealer(file, "")
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err != nil || s.Made != "" {
			t.Fatal(name, err)
		}
		if first == nil {
			first = s
		}
		if _, err := s.Open("x", first.Seal("x", key)); err != nil {
			t.Error(name, err)
		}
	}
	if _, err := OpenSealer(filepath.Join(folder, "none"), folder); !errors.Is(err, os.ErrNotExist) {
		t.Error("a key that was named and is not there is made:", err)
	}
}

func TestSkew(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		ahead, took time.Duration // of the server; of the question
		want        string
	}{
		{0, time.Second, ""},
		{20 * time.Second, 0, ""},
		{40 * time.Second, time.Minute, ""}, // nobody knows
		{2 * time.Minute, time.Second, "the clock of this machine is 2m0s behind that of control: tokens may be refused (set the clock, for example by NTP)"},
		{-10 * time.Minute, 0, "the clock of this machine is 10m0s ahead of that of control: certificates and tokens will be refused (set the clock, for example by NTP)"},
	} {
		skew, uncertain := Skew(noon.Add(c.took/2+c.ahead), noon, noon.Add(c.took))
		if got := SkewMessage("control", skew, uncertain); got != c.want || skew != c.ahead {
			t.Errorf("%+v: %s, %q", c, skew, got)
		}
	}
}
