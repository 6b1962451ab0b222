package main

// The command line, parsed and checked once.

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

const (
	basePortDefault = 23790
	memoryDefault   = 400 << 20
	// Below this Go's collector would do nothing else.
	memoryMin = 64 << 20
	// The highest port in use is base + 20 + 3.
	portsSpan = 24
)

var errHelp = errors.New("help asked for")

type upOptions struct {
	dir string
	// 0 where the command line did not say.
	stores int
	// -1 where the command line did not say, 0 for any free ports.
	basePort  int
	memory    int64
	diskLimit int64
	// PD's program, and this one, which is also a store's.
	pdServer, own string
	untilEOF      bool
}

func parseUp(arguments []string) (upOptions, error) {
	options := upOptions{memory: memoryDefault}
	flags := newFlags("up")
	stores := flags.Int("stores", 0, "")
	basePort := flags.Int("base-port", -1, "")
	memory := flags.String("memory", "", "")
	diskLimit := flags.String("disk-limit", "", "")
	flags.StringVar(&options.pdServer, "pd-server", "", "")
	flags.BoolVar(&options.untilEOF, "until-eof", false, "")
	positional, err := parseMixed(flags, arguments)
	if err != nil {
		return options, err
	}
	if len(positional) != 1 {
		return options, misuse("up takes one folder, got %d", len(positional))
	}
	if options.dir, err = filepath.Abs(positional[0]); err != nil {
		return options, err
	}
	if *stores != 0 && *stores != 1 && *stores != 3 {
		return options, misuse("--stores %d: 1 or 3 would do", *stores)
	}
	options.stores = *stores
	if *basePort > 0 && (*basePort < 1024 || *basePort > 65535-portsSpan) || *basePort < -1 {
		return options, misuse("--base-port %d: 0 or 1024 to %d would do", *basePort, 65535-portsSpan)
	}
	options.basePort = *basePort
	if *memory != "" {
		if options.memory, err = parseSize("--memory", *memory); err != nil {
			return options, err
		}
		if options.memory < memoryMin {
			return options, misuse("--memory %s: at least 64MiB would do", *memory)
		}
	}
	if *diskLimit != "" {
		if options.diskLimit, err = parseSize("--disk-limit", *diskLimit); err != nil {
			return options, err
		}
	}
	if options.own, err = os.Executable(); err != nil {
		return options, err
	}
	if options.pdServer == "" {
		options.pdServer = filepath.Join(filepath.Dir(options.own), "pd-server")
	}
	if information, err := os.Stat(options.pdServer); err != nil || information.IsDir() || information.Mode()&0o111 == 0 {
		return options, misuse("%s is not a program: build.sh makes one beside this one, or name it with --pd-server", options.pdServer)
	}
	return options, nil
}

type storeOptions struct {
	dir, pd, address, status string
	diskLimit                int64
	// Where others reach it: only in a pod is that not where it listens.
	advertised string
}

func (o storeOptions) reachedAt() string {
	if o.advertised != "" {
		return o.advertised
	}
	return o.address
}

// logFile is beside the folder; "" is standard output, which a pod's log is.
func (o storeOptions) logFile() string {
	if o.advertised != "" {
		return ""
	}
	return o.dir + ".log"
}

func parseStore(arguments []string) (storeOptions, error) {
	var options storeOptions
	flags := newFlags("store")
	flags.StringVar(&options.dir, "dir", "", "")
	flags.StringVar(&options.pd, "pd", "", "")
	flags.StringVar(&options.address, "addr", "", "")
	flags.StringVar(&options.status, "status-addr", "", "")
	flags.Int64Var(&options.diskLimit, "disk-limit", 0, "")
	positional, err := parseMixed(flags, arguments)
	if err != nil {
		return options, err
	}
	if len(positional) != 0 {
		return options, misuse("store takes options only, got %q", positional[0])
	}
	if options.dir == "" {
		return options, misuse("store needs --dir, a folder of its own")
	}
	for name, address := range map[string]string{"--pd": options.pd, "--addr": options.address, "--status-addr": options.status} {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return options, misuse("%s %q: HOST:PORT would do", name, address)
		}
		if ip := net.ParseIP(host); name != "--pd" && (ip == nil || !ip.IsLoopback()) {
			return options, misuse("%s %q: an address of this machine alone, such as 127.0.0.1:%d, would do", name, address, basePortDefault+11)
		}
	}
	if options.diskLimit < 0 {
		return options, misuse("--disk-limit %d: a number of bytes would do, 0 for none", options.diskLimit)
	}
	return options, nil
}

func newFlags(name string) *flag.FlagSet {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	return flags
}

// parseMixed takes options before, after and between what is no option.
func parseMixed(flags *flag.FlagSet, arguments []string) ([]string, error) {
	var positional []string
	for {
		if err := flags.Parse(arguments); errors.Is(err, flag.ErrHelp) {
			return nil, errHelp
		} else if err != nil {
			return nil, usageError{err}
		}
		if flags.NArg() == 0 {
			return positional, nil
		}
		positional = append(positional, flags.Arg(0))
		arguments = flags.Args()[1:]
	}
}

// parseSize reads a number of bytes, plain or with KiB, MiB or GiB.
func parseSize(name, text string) (int64, error) {
	number, shift := text, 0
	for i, unit := range []string{"KiB", "MiB", "GiB"} {
		if rest, found := strings.CutSuffix(text, unit); found {
			number, shift = rest, 10*(i+1)
		}
	}
	size, err := strconv.ParseInt(number, 10, 64)
	if err != nil || size <= 0 || size > 1<<50>>shift {
		return 0, misuse("%s %q: a number of bytes above 0 would do, such as 400MiB", name, text)
	}
	return size << shift, nil
}

func formatSize(size int64) string {
	for shift, unit := range map[int]string{30: "GiB", 20: "MiB"} {
		if size>>shift<<shift == size && size>>shift > 0 && size>>shift < 1024 {
			return fmt.Sprintf("%d%s", size>>shift, unit)
		}
	}
	return fmt.Sprintf("%dB", size)
}
