package secure

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/naru-mesh/naru/wire"
)

func TestCredentialErrors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name string, b []byte) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	good, other := localhost(), testCA().issue("other", "other.test")
	chain, key := write("cert.pem", good.Chain), write("key.pem", good.Key)
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		cred wire.Credential
		want string // DIR stands for the directory
	}{
		{wire.Credential{}, "certificate: is empty"},
		{wire.Credential{Chain: good.Chain}, "key: no PRIVATE KEY block in PEM, only CERTIFICATE"},
		{wire.Credential{Chain: []byte("text"), Key: good.Key}, "certificate: no CERTIFICATE block in PEM"},
		{wire.Credential{Chain: good.Key, Key: good.Chain}, "certificate: no CERTIFICATE block in PEM, only PRIVATE KEY"},
		{wire.Credential{ChainFile: dir + "/gone.pem", KeyFile: key}, "certificate DIR/gone.pem: no such file or directory"},
		{wire.Credential{ChainFile: dir + "/pipe", KeyFile: key}, "certificate DIR/pipe: is a pipe, a device or a socket, not a file"},
		{wire.Credential{ChainFile: dir, KeyFile: key}, "certificate DIR: is a directory"},
		{wire.Credential{ChainFile: chain, KeyFile: dir + "/gone.pem"}, "key DIR/gone.pem: no such file or directory"},
		{wire.Credential{ChainFile: chain, KeyFile: write("empty", []byte("\n"))}, "key DIR/empty: is empty"},
		{wire.Credential{ChainFile: chain, Key: other.Key}, "key: does not belong to certificate DIR/cert.pem (for localhost)"},
		{wire.Credential{ChainFile: write("junk.pem", []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")), KeyFile: key}, "certificate DIR/junk.pem: x509: malformed certificate"},
		{wire.Credential{ChainFile: chain, Key: []byte("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n")}, "key: is encrypted; a key without a passphrase is needed"},
		{wire.Credential{ChainFile: chain, Key: []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")}, "key: failed to parse private key"},
	} {
		c.cred.Name = "shop"
		_, err := New(1).Server(&wire.ServerTLS{Credentials: []wire.Credential{c.cred}})
		want := `credential "shop": ` + strings.ReplaceAll(c.want, "DIR", dir)
		if err == nil || err.Error() != want {
			t.Errorf("error %v\nwant  %s", err, want)
		}
	}
}

func TestCredentialForms(t *testing.T) {
	t.Parallel()
	good := localhost()
	both := append(append([]byte(nil), good.Key...), good.Chain...)
	for name, c := range map[string]wire.Credential{
		"two parts":                {Chain: good.Chain, Key: good.Key},
		"one part":                 {Chain: both},
		"chain with its authority": {Chain: append(append([]byte(nil), good.Chain...), testCA().pem...), Key: good.Key},
	} {
		if w, err := Check(c, time.Now()); w != nil || err != nil {
			t.Errorf("%s: %v, %v", name, w, err)
		}
	}
}

func TestCheckWarns(t *testing.T) {
	t.Parallel()
	c := testCA().sign("old", testRSA(), time.Date(2038, 1, 19, 0, 0, 0, 0, time.UTC), "localhost")
	for _, x := range []struct {
		now  time.Time
		want string
	}{
		{time.Date(2038, 2, 1, 0, 0, 0, 0, time.UTC), "certificate: expired on 2038-01-19; it is used all the same"},
		{time.Date(1991, 2, 1, 0, 0, 0, 0, time.UTC), "is not valid before"},
	} {
		if w, err := Check(c, x.now); err != nil || w == nil || !strings.Contains(w.Error(), x.want) {
			t.Errorf("%v, %v; want %q", w, err, x.want)
		}
	}
}

func TestServerConfigurationErrors(t *testing.T) {
	t.Parallel()
	for want, cfg := range map[string]*wire.ServerTLS{
		"no credential: TLS needs a certificate and its key": {},
		"minimum version 0x0301: must be TLS 1.2 or TLS 1.3": {Credentials: []wire.Credential{localhost()}, MinVersion: 0x0301},
	} {
		if _, err := New(1).Server(cfg); err == nil || err.Error() != want {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}
