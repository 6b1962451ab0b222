package main

import (
	"strings"
	"testing"
)

var podArguments = []string{
	"--pd-endpoints=t-pd.ns.svc:2379", "--data-dir=/data", "--addr=0.0.0.0:20160",
	"--advertise-addr=t-tikv-2.t-tikv.ns.svc:20160", "--status-addr=0.0.0.0:20180",
}

func TestAStoreInAPodTakesTheFlagsOfTiKV(t *testing.T) {
	options, err := parsePod(podArguments)
	if err != nil {
		t.Fatal(err)
	}
	if options.dir != "/data" || options.reachedAt() != "t-tikv-2.t-tikv.ns.svc:20160" || options.logFile() != "" {
		t.Fatalf("%+v", options)
	}
	for _, flag := range podArguments {
		name, _, _ := strings.Cut(flag, "=")
		if _, err := parsePod(append(podArguments, name+"=")); exitCode(err) != 2 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAStoreWaitsForTheOneThatTheStatefulSetNumbersBeforeIt(t *testing.T) {
	for advertised, before := range map[string]string{
		"t-tikv-0.t-tikv.ns.svc:20160":  "",
		"t-tikv-1.t-tikv.ns.svc:20160":  "t-tikv-0.t-tikv.ns.svc:20180",
		"t-tikv-10.t-tikv.ns.svc:20160": "t-tikv-9.t-tikv.ns.svc:20180",
		"tikv.example:20160":            "",
	} {
		if got := previousStatus(storeOptions{advertised: advertised, status: "0.0.0.0:20180"}); got != before {
			t.Errorf("%s: %q", advertised, got)
		}
	}
}
