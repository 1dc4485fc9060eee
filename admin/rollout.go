package admin

import (
	"context"
	"encoding/json"
	"io"
	"net/http"

	"github.com/naru-mesh/naru/rollout"
)

// RolloutWish is what is to be done with a rollout.
type RolloutWish struct {
	Name   string         `json:"name"`
	Action rollout.Action `json:"action"`
}

// planeRollouts are the pages of rollouts.
func planeRollouts(mux *http.ServeMux, p Plane, answer func(http.ResponseWriter, any, error)) {
	mux.HandleFunc("GET /rollouts", func(w http.ResponseWriter, r *http.Request) {
		all, err := p.Rollouts(r.Context())
		answer(w, all, err)
	})
	mux.HandleFunc("POST /rollouts", func(w http.ResponseWriter, r *http.Request) {
		var wish RolloutWish
		if err := json.NewDecoder(io.LimitReader(r.Body, 64<<10)).Decode(&wish); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		view, err := p.Rollout(r.Context(), wish)
		answer(w, view, err)
	})
}

// Rollouts is as Plane's.
func (c *PlaneClient) Rollouts(ctx context.Context) (all []rollout.View, err error) {
	err = c.ask(ctx, "GET", "/rollouts", nil, &all)
	return all, err
}

// Rollout is as Plane's.
func (c *PlaneClient) Rollout(ctx context.Context, wish RolloutWish) (view rollout.View, err error) {
	err = c.ask(ctx, "POST", "/rollouts", wish, &view)
	return view, err
}
