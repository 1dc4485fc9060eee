package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"github.com/naru-mesh/naru/bench/peer"
)

// profile takes naru's CPU profile while a turn runs, where one is asked for;
// what it returns waits for its end, which is a second or more after it began.
func (f *field) profile(ctx context.Context, p *peer.Peer) (wait func() error) {
	if f.opt.profile == "" || p.Name != "naru" {
		return func() error { return nil }
	}
	f.profiles = append(f.profiles, filepath.Join(f.dir, strconv.Itoa(len(f.profiles))+".pb.gz"))
	name, ended := f.profiles[len(f.profiles)-1], make(chan error, 1)
	go func() {
		url := fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", p.Job.Admin, max(1, int(f.opt.window.Seconds())))
		ended <- save(ctx, url, name)
	}()
	return func() error { return <-ended }
}

// save writes what a URL gives into a new file.
func save(ctx context.Context, url, name string) error {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	r, err := http.DefaultClient.Do(q)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	content, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	if r.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s: %s", url, r.Status, content)
	}
	return os.WriteFile(name, content, 0o600)
}

// mergeProfiles writes the profiles of all turns as one.
func (f *field) mergeProfiles(ctx context.Context) error {
	if len(f.profiles) == 0 || ctx.Err() != nil {
		return nil
	}
	merge := exec.CommandContext(ctx, "go", append([]string{"tool", "pprof", "-proto", "-output", f.opt.profile}, f.profiles...)...)
	if said, err := merge.CombinedOutput(); err != nil {
		return fmt.Errorf("merging profiles: %w: %s", err, said)
	}
	return nil
}
