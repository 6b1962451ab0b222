package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func program(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "pd-server")
	if err := os.WriteFile(file, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestUpTakesWhatMakesSense(t *testing.T) {
	pd := program(t)
	options, err := parseUp([]string{"here", "--stores", "1", "--base-port=0", "--memory", "1GiB", "--disk-limit", "5000", "--pd-server", pd, "--until-eof"})
	if err != nil {
		t.Fatal(err)
	}
	if filepath.Base(options.dir) != "here" || options.stores != 1 || options.basePort != 0 ||
		options.memory != 1<<30 || options.diskLimit != 5000 || !options.untilEOF {
		t.Fatalf("%+v", options)
	}
}

func TestUpSaysWhatWouldHaveBeenFine(t *testing.T) {
	pd := program(t)
	for _, row := range []struct{ arguments, message string }{
		{"", "one folder, got 0"},
		{"a b", "one folder, got 2"},
		{"a --stores 2", "1 or 3 would do"},
		{"a --base-port 80", "1024 to 65511 would do"},
		{"a --base-port -7", "1024 to 65511 would do"},
		{"a --memory 1MiB", "at least 64MiB would do"},
		{"a --memory lots", "such as 400MiB"},
		{"a --memory 99999999999GiB", "such as 400MiB"},
		{"a --disk-limit 0", "above 0 would do"},
		{"a --pd-server /nowhere", "is not a program"},
		{"a --unheard-of", "unheard-of"},
	} {
		arguments := append([]string{"--pd-server", pd}, strings.Fields(row.arguments)...)
		_, err := parseUp(arguments)
		var usage usageError
		if !errors.As(err, &usage) || !strings.Contains(err.Error(), row.message) {
			t.Errorf("%q: %v", row.arguments, err)
		}
	}
}

func TestAStoreListensOnThisMachineOnly(t *testing.T) {
	good := []string{"--dir", "d", "--pd", "127.0.0.1:1", "--addr", "127.0.0.1:2", "--status-addr", "127.0.0.1:3"}
	if _, err := parseStore(good); err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{"0.0.0.0:2", ":2", "192.0.2.1:2", "nonsense"} {
		if _, err := parseStore(append(good, "--addr", address)); exitCode(err) != 2 {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func TestHelpIsNoError(t *testing.T) {
	for _, arguments := range [][]string{{"--help"}, {"help"}, {"up", "--help"}, {"store", "-h"}} {
		if code := exitCode(run(arguments)); code != 0 {
			t.Errorf("%v: %d", arguments, code)
		}
	}
	for _, arguments := range [][]string{{}, {"down"}} {
		if code := exitCode(run(arguments)); code != 2 {
			t.Errorf("%v: %d", arguments, code)
		}
	}
}
