package main

// A store in a pod. Its image has this program as /tikv-server, where the image
// of TiKV has its own, and it takes the flags of TiKV that a chart sets: the
// chart for TiKV runs it unchanged.

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
)

// What the program is called in an image.
const tikvServer = "tikv-server"

func parsePod(arguments []string) (storeOptions, error) {
	var options storeOptions
	flags := newFlags(tikvServer)
	flags.StringVar(&options.dir, "data-dir", "", "")
	flags.StringVar(&options.pd, "pd-endpoints", "", "")
	flags.StringVar(&options.address, "addr", "", "")
	flags.StringVar(&options.advertised, "advertise-addr", "", "")
	flags.StringVar(&options.status, "status-addr", "", "")
	positional, err := parseMixed(flags, arguments)
	if err != nil {
		return options, err
	}
	if len(positional) != 0 {
		return options, misuse("%s takes options only, got %q", tikvServer, positional[0])
	}
	if options.dir == "" {
		return options, misuse("%s needs --data-dir, a folder of its own", tikvServer)
	}
	addresses := map[string]string{
		"--pd-endpoints": options.pd, "--addr": options.address,
		"--advertise-addr": options.advertised, "--status-addr": options.status,
	}
	for name, address := range addresses {
		if _, _, err := net.SplitHostPort(address); err != nil {
			return options, misuse("%s %q: HOST:PORT would do", name, address)
		}
	}
	return options, nil
}

// serveInPod does what `up` does around a store: waits for its turn, bounds its
// heap, and keeps PD's rule away.
func serveInPod(options storeOptions) error {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryDefault)
	}
	ctx, placement := context.Background(), newPlacement(options.pd)
	fmt.Printf("waiting for PD at %s\n", options.pd)
	for !placement.healthy(ctx) {
		pause(ctx, pollInterval)
	}
	// The first store bootstraps the cluster: the others join it, one after the
	// other. Stores that have data need not wait.
	if before := previousStatus(options); before != "" && !holdsData(options.dir) {
		fmt.Printf("waiting for the store before this one, %s\n", before)
		for !storeServes(ctx, before) {
			pause(ctx, pollInterval)
		}
	}
	go placement.keepRuleAway(ctx)
	fmt.Printf("serving %s\n", options.advertised)
	return serveStore(options)
}

func holdsData(folder string) bool {
	_, err := os.Stat(filepath.Join(folder, "kv"))
	return err == nil
}

// previousStatus is where the store answers /status that a StatefulSet numbers
// one less; none for the first.
func previousStatus(options storeOptions) string {
	host, _, _ := net.SplitHostPort(options.advertised)
	_, port, _ := net.SplitHostPort(options.status)
	pod, domain, _ := strings.Cut(host, ".")
	cut := strings.LastIndexByte(pod, '-')
	number, err := strconv.Atoi(pod[cut+1:])
	if err != nil || number == 0 {
		return ""
	}
	return net.JoinHostPort(fmt.Sprintf("%s-%d.%s", pod[:cut], number-1, domain), port)
}
