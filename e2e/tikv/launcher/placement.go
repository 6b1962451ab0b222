package main

// What the supervisor asks PD over HTTP.

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

const (
	pollInterval     = 100 * time.Millisecond
	requestTimeout   = 2 * time.Second
	responseBytesMax = 16 << 20
	ruleInterval     = time.Second
)

type placement struct {
	base   string
	client http.Client
}

func newPlacement(address string) *placement {
	return &placement{base: "http://" + address + "/pd/api/v1/", client: http.Client{Timeout: requestTimeout}}
}

func (p *placement) call(ctx context.Context, method, path string, answer any) error {
	request, err := http.NewRequestWithContext(ctx, method, p.base+path, nil)
	if err != nil {
		return err
	}
	response, err := p.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("PD answered %s to %s", response.Status, path)
	}
	if answer == nil {
		return nil
	}
	return json.NewDecoder(io.LimitReader(response.Body, responseBytesMax)).Decode(answer)
}

func (p *placement) healthy(ctx context.Context) bool {
	var members []struct {
		Health bool `json:"health"`
	}
	return p.call(ctx, http.MethodGet, "health", &members) == nil && len(members) == 1 && members[0].Health
}

type region struct {
	Leader       *peer  `json:"leader"`
	Peers        []peer `json:"peers"`
	PendingPeers []peer `json:"pending_peers"`
	DownPeers    []any  `json:"down_peers"`
}

type peer struct {
	ID       uint64 `json:"id"`
	RoleName string `json:"role_name"`
}

// replicated says whether each of several regions has a leader and as many
// healthy voters as there are stores.
func (p *placement) replicated(ctx context.Context, stores int) bool {
	var answer struct {
		Regions []region `json:"regions"`
	}
	if p.call(ctx, http.MethodGet, "regions", &answer) != nil || len(answer.Regions) == 0 {
		return false
	}
	for _, region := range answer.Regions {
		if !region.healthy(stores) {
			return false
		}
	}
	return true
}

func (r region) healthy(stores int) bool {
	if r.Leader == nil || r.Leader.ID == 0 || len(r.Peers) != stores || len(r.PendingPeers)+len(r.DownPeers) != 0 {
		return false
	}
	for _, peer := range r.Peers {
		if peer.RoleName != "Voter" {
			return false
		}
	}
	return true
}

// keepRuleAway deletes PD's label rule of keyspace 0 whenever PD has it. It
// asks for splits at keys where this server cannot split; PD would try for ever
// and place no replica of those regions meanwhile. PD makes it when it first
// leads, which a restart may repeat.
func (p *placement) keepRuleAway(ctx context.Context) {
	for pause(ctx, ruleInterval) {
		p.dropRule(ctx)
	}
}

func (p *placement) dropRule(ctx context.Context) bool {
	var rules []json.RawMessage
	if p.call(ctx, http.MethodGet, "config/region-label/rules", &rules) != nil {
		return false
	}
	if len(rules) == 0 {
		return true
	}
	return p.call(ctx, http.MethodDelete, "config/region-label/rule/keyspaces%2F0", nil) == nil
}

// pause waits, or says false at once when the context ends.
func pause(ctx context.Context, duration time.Duration) bool {
	timer := time.NewTimer(duration)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
