package rollout

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/store"
)

// countsBelow is where the counts are of processes that share the store and do
// not lead: a key each, while a rollout is under way.
const countsBelow = "rollout-counts/"

// exchangeEvery is how often they are written, and read.
const exchangeEvery = time.Second

// sparse is a TrialCounts without the zeros at both ends of its Times.
type sparse struct {
	Source string                  `json:"source,omitempty"` // Report.Source
	Run    string                  `json:"run"`
	At     time.Time               `json:"at,omitzero"` // Report.At
	Arms   [observe.Arms]sparseArm `json:"arms"`
}

type sparseArm struct {
	Begun    uint64   `json:"begun"`
	Headed   uint64   `json:"headed"`
	Requests uint64   `json:"requests"`
	Failed   uint64   `json:"failed"`
	First    int      `json:"first"` // bucket of the first of Times
	Times    []uint64 `json:"times"`
}

func pack(r Report) []sparse {
	all, out := r.Trials, make([]sparse, len(r.Trials))
	for i := range all {
		out[i].Source, out[i].Run, out[i].At = r.Source, all[i].Run, r.At.Round(0)
		for a := range all[i].Arms {
			from, to := &all[i].Arms[a], &out[i].Arms[a]
			to.Begun, to.Headed, to.Requests, to.Failed = from.Begun, from.Headed, from.Requests, from.Failed
			first, end := 0, len(from.Times)
			for first < end && from.Times[first] == 0 {
				first++
			}
			for end > first && from.Times[end-1] == 0 {
				end--
			}
			to.First, to.Times = first, append([]uint64{}, from.Times[first:end]...)
		}
	}
	return out
}

// unpack gives the Reports of which something was packed one behind the other.
func unpack(all []sparse) (out []Report) {
	for i := range all {
		s := &all[i]
		if n := len(out); n == 0 || out[n-1].Source != s.Source {
			out = append(out, Report{Source: s.Source, At: s.At})
		}
		r, t := &out[len(out)-1], observe.TrialCounts{Run: s.Run}
		for a := range s.Arms {
			from, to := &s.Arms[a], &t.Arms[a]
			to.Begun, to.Headed, to.Requests, to.Failed = from.Begun, from.Headed, from.Requests, from.Failed
			if from.First >= 0 && from.First <= len(to.Times) {
				copy(to.Times[from.First:], from.Times)
			}
		}
		r.Trials = append(r.Trials, t)
	}
	return out
}

// Encode writes a Report for another process; nothing where nothing was counted.
func Encode(r Report) []byte {
	if len(r.Trials) == 0 {
		return nil
	}
	text, err := json.Marshal(pack(r))
	if err != nil {
		return nil // of numbers and a time: there is no such error
	}
	return text
}

// Decode reads what Encode has written. who has said it: no other may be the Source.
func Decode(who string, text []byte) ([]Report, error) {
	var all []sparse
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, fmt.Errorf("what %s has counted: %w", who, err)
	}
	out := unpack(all)
	for i := range out {
		out[i].Source = who + "/" + out[i].Source
	}
	return out, nil
}

// publish writes what the proxies that we know have counted, while another
// process leads.
func (k *Keeper) publish(ctx context.Context) {
	key := countsBelow + k.options.Replica
	var last []byte // but for when
	for pause(ctx, exchangeEvery) {
		k.mu.Lock()
		leads, live := k.leads, k.live()
		k.mu.Unlock()
		var all []sparse
		var timeless []sparse
		wait := false
		if !leads && live {
			for _, r := range k.options.Counts(ctx) {
				all = append(all, pack(r)...)
				timeless = append(timeless, pack(Report{Source: r.Source, Trials: r.Trials})...)
				wait = wait || waits(r.Trials)
			}
		}
		text, bad := json.Marshal(all)
		plain, worse := json.Marshal(timeless)
		err := errors.Join(bad, worse)
		switch {
		case err != nil:
		case len(all) == 0 && last != nil:
			if _, _, err = k.options.Store.Txn(ctx, nil, store.Op{Key: key, Delete: true}); err == nil {
				last = nil
			}
		case len(all) > 0 && (wait || !bytes.Equal(plain, last)): // that they wait still is news
			if _, _, err = k.options.Store.Txn(ctx, nil, store.Op{Key: key, Value: text}); err == nil {
				last = plain
			}
		}
		if err != nil && ctx.Err() == nil {
			k.log.Debug("rollout: counts are not told", "error", err)
		}
	}
	if last != nil {
		short, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_, _, _ = k.options.Store.Txn(short, nil, store.Op{Key: key, Delete: true}) // else it is overwritten by the next of that name
	}
}

// waits says whether requests wait for their response's head.
func waits(all []observe.TrialCounts) bool {
	for i := range all {
		for a := range all[i].Arms {
			if c := &all[i].Arms[a]; c.Begun > c.Headed {
				return true
			}
		}
	}
	return false
}

// live says whether some rollout is under way. k.mu is held.
func (k *Keeper) live() bool {
	for name := range k.specs {
		if h := k.states[name]; h != nil && !h.state.Phase.Over() {
			return true
		}
	}
	return false
}

// others reads what the processes have counted that do not lead.
func (k *Keeper) others(ctx context.Context) (all []Report) {
	list, _, err := k.options.Store.List(ctx, countsBelow)
	if err != nil {
		k.log.Debug("rollout: the counts of others cannot be read", "error", err)
		return nil
	}
	for _, item := range list {
		name := strings.TrimPrefix(item.Key, countsBelow)
		var counts []sparse
		if name == k.options.Replica || json.Unmarshal(item.Value, &counts) != nil {
			continue
		}
		for _, r := range unpack(counts) {
			r.Source = cmp.Or(r.Source, name)
			all = append(all, r)
		}
	}
	return all
}
