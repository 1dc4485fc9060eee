package etcd

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/naru-mesh/naru/store"
)

// TestMembersFail has one of three members fail, then another.
func TestMembersFail(t *testing.T) {
	members := cluster(t, 3)
	first := members[0]
	eventually(t, "a quorum", func() bool { return put(t.Context(), first, "a", "1") == nil })
	if got := get(t, members[2], "a"); got != "1" {
		t.Fatalf("the third member reads %q", got)
	}
	status, err := first.Status(t.Context())
	if err != nil || status.Kind != "member" || status.Leader == "" {
		t.Fatalf("status %+v, %v", status, err)
	}

	// A watch and a leader at the first one, from here on.
	_, at, err := first.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var mu sync.Mutex
	var told []string
	watching := make(chan error, 1)
	go func() {
		watching <- first.Watch(ctx, "n/", at, func(e []store.Event) error {
			mu.Lock()
			defer mu.Unlock()
			for i := range e {
				told = append(told, e[i].Key)
			}
			return nil
		})
	}()
	leading, resign := context.WithCancel(t.Context())
	if _, err := members[1].Lead(leading, "job"); err != nil {
		t.Fatal(err)
	}
	next := make(chan error, 1)
	go func() {
		_, err := first.Lead(ctx, "job")
		next <- err
	}()
	select {
	case <-next:
		t.Fatal("two lead")
	default:
	}

	// One goes, with its leadership.
	if err := members[1].Close(); err != nil {
		t.Fatal(err)
	}
	resign()
	for i := range 10 {
		eventually(t, "writing with two of three", func() bool { return put(t.Context(), first, fmt.Sprint("n/", i), "") == nil })
	}
	if err := <-next; err != nil {
		t.Fatalf("the next leader: %v", err)
	}

	// The second goes: no quorum.
	other := members[2].opt
	if err := members[2].Close(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	err = put(t.Context(), first, "n/lost", "")
	if took := time.Since(began); !errors.Is(err, store.ErrUnavailable) || took > 2*first.opt.Wait {
		t.Fatalf("writing without a quorum: %v after %s", err, took)
	}
	if _, err := first.Get(t.Context(), "a"); !errors.Is(err, store.ErrUnavailable) {
		t.Fatalf("reading without a quorum: %v", err)
	}
	if _, err := first.Status(t.Context()); err != nil {
		t.Fatalf("the status without a quorum: %v", err)
	}

	// And comes back.
	back, err := Open(t.Context(), other)
	if err != nil {
		t.Fatal(err)
	}
	members[2] = back
	eventually(t, "writing again", func() bool { return put(t.Context(), first, "n/last", "") == nil })
	eventually(t, "the watch", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(told) > 0 && told[len(told)-1] == "n/last"
	})
	cancel()
	if err := <-watching; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	for i := range 10 {
		if want := fmt.Sprint("n/", i); told[i] != want {
			t.Fatalf("told %v, want n/0 to n/9 and n/last", told)
		}
	}
}

func TestOptionsThatCannotBe(t *testing.T) {
	for want, o := range map[string]Options{
		"store: name either a folder for an embedded etcd or the endpoints of one outside":                                       {},
		"store: the endpoint https://10.0.0.9:2379 wants TLS, and no certificates are given":                                     {Endpoints: []string{"https://10.0.0.9:2379"}},
		"store: the endpoint http://10.0.0.9:2379 would carry the state of the mesh in the clear: use https:// and certificates": {Endpoints: []string{"http://10.0.0.9:2379"}},
		`store: the member "naru" is not among the peers a, b`:                                                                   {Dir: "x", Peers: map[string]string{"a": "http://127.0.0.1:1", "b": "http://127.0.0.1:2"}},
		"store: the peer naru would be spoken to in the clear: use https:// and certificates":                                    {Dir: "x", Peers: map[string]string{"naru": "http://10.0.0.1:2380"}},
		"store: the peer naru wants TLS: give a certificate, its key and the authority of the others":                            {Dir: "x", Peers: map[string]string{"naru": "https://10.0.0.1:2380"}},
		`store: the peer naru has the URL "10.0.0.1": write https://HOST:PORT`:                                                   {Dir: "x", Peers: map[string]string{"naru": "10.0.0.1"}},
	} {
		if _, err := Open(t.Context(), o); err == nil || err.Error() != want {
			t.Errorf("%+v:\n got %v\nwant %s", o, err, want)
		}
	}
}
