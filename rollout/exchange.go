package rollout

import (
	"bytes"
	"context"
	"encoding/json"
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
	Run  string                  `json:"run"`
	Arms [observe.Arms]sparseArm `json:"arms"`
}

type sparseArm struct {
	Begun    uint64   `json:"begun"`
	Headed   uint64   `json:"headed"`
	Requests uint64   `json:"requests"`
	Failed   uint64   `json:"failed"`
	First    int      `json:"first"` // bucket of the first of Times
	Times    []uint64 `json:"times"`
}

func pack(all []observe.TrialCounts) []sparse {
	out := make([]sparse, len(all))
	for i := range all {
		out[i].Run = all[i].Run
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

func unpack(all []sparse) []observe.TrialCounts {
	out := make([]observe.TrialCounts, len(all))
	for i := range all {
		out[i].Run = all[i].Run
		for a := range all[i].Arms {
			from, to := &all[i].Arms[a], &out[i].Arms[a]
			to.Begun, to.Headed, to.Requests, to.Failed = from.Begun, from.Headed, from.Requests, from.Failed
			if from.First >= 0 && from.First <= len(to.Times) {
				copy(to.Times[from.First:], from.Times)
			}
		}
	}
	return out
}

// publish writes what the proxies that we know have counted, while another
// process leads.
func (k *Keeper) publish(ctx context.Context) {
	key := countsBelow + k.options.Replica
	var last []byte
	for pause(ctx, exchangeEvery) {
		k.mu.Lock()
		leads, live := k.leads, k.live()
		k.mu.Unlock()
		var all []sparse
		if !leads && live {
			for _, r := range k.options.Counts(ctx) {
				all = append(all, pack(r.Trials)...)
			}
		}
		var err error
		switch text, bad := json.Marshal(all); {
		case bad != nil:
			err = bad
		case len(all) == 0 && last != nil:
			if _, _, err = k.options.Store.Txn(ctx, nil, store.Op{Key: key, Delete: true}); err == nil {
				last = nil
			}
		case len(all) > 0 && !bytes.Equal(text, last):
			if _, _, err = k.options.Store.Txn(ctx, nil, store.Op{Key: key, Value: text}); err == nil {
				last = text
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
		all = append(all, Report{Source: name, Trials: unpack(counts)})
	}
	return all
}
