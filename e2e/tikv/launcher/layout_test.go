package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAFolderRemembersItsCluster(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cluster")
	plan, err := planLayout(upOptions{dir: dir, stores: 1, basePort: 0})
	if err != nil {
		t.Fatal(err)
	}
	plan.Formed = true
	if err := plan.save(); err != nil {
		t.Fatal(err)
	}
	again, err := planLayout(upOptions{dir: dir, basePort: -1})
	if err != nil || again.Stores != 1 || again.BasePort != plan.BasePort {
		t.Fatalf("%+v %v", again, err)
	}
	for _, options := range []upOptions{{dir: dir, stores: 3, basePort: -1}, {dir: dir, basePort: plan.BasePort + 1}} {
		if _, err := planLayout(options); exitCode(err) != 2 || !strings.Contains(err.Error(), "another folder") {
			t.Errorf("%+v: %v", options, err)
		}
	}
	if err := again.wipe(); err == nil {
		t.Error("data were wiped")
	}
}

func TestAClusterThatNeverFormedMayChange(t *testing.T) {
	dir := t.TempDir()
	if _, err := planLayout(upOptions{dir: dir, stores: 1, basePort: -1}); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "pd"), 0o755); err != nil {
		t.Fatal(err)
	}
	plan, err := planLayout(upOptions{dir: dir, basePort: -1})
	if err != nil || plan.Stores != 3 || plan.BasePort != basePortDefault {
		t.Fatalf("%+v %v", plan, err)
	}
	if err := plan.wipe(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "pd")); !os.IsNotExist(err) {
		t.Error("what never formed is left behind")
	}
}

func TestAFolderOfSomebodyElseIsLeftAlone(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "store-1"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := planLayout(upOptions{dir: dir, basePort: -1}); exitCode(err) != 2 {
		t.Error(err)
	}
}

func TestARegionIsHealthyWithAllItsVoters(t *testing.T) {
	voters := []peer{{1, "Voter"}, {2, "Voter"}, {3, "Voter"}}
	learner := []peer{{1, "Voter"}, {2, "Voter"}, {3, "Learner"}}
	for _, row := range []struct {
		why    string
		region region
		want   bool
	}{
		{"all there", region{Leader: &voters[0], Peers: voters}, true},
		{"no leader", region{Peers: voters}, false},
		{"PD's way to say no leader", region{Leader: &peer{}, Peers: voters}, false},
		{"one is missing", region{Leader: &voters[0], Peers: voters[:2]}, false},
		{"one learns yet", region{Leader: &voters[0], Peers: learner}, false},
		{"one lags", region{Leader: &voters[0], Peers: voters, PendingPeers: voters[2:]}, false},
		{"one is down", region{Leader: &voters[0], Peers: voters, DownPeers: []any{0}}, false},
	} {
		if row.region.healthy(3) != row.want {
			t.Error(row.why)
		}
	}
}
