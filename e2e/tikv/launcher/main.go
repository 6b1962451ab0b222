// Program cairn-tikv-dev starts a PD and one or three TiKV-protocol stores on
// this machine, for tests and development. Never for data that matter.
//
// The stores are the packages of an experimental server (unistore) that speaks
// TiKV's protocol over multi-Raft. What it does differently from what TiKV
// documents is corrected here (store.go, restore.go, service.go, onepc.go, chunks.go), so
// that the product never has to know. Read up.go first: it is the supervisor.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

const help = `cairn-tikv-dev: PD and TiKV-protocol stores on 127.0.0.1, for tests and development

  cairn-tikv-dev up DIR [options]      starts them and stays in the foreground
  cairn-tikv-dev store [options]       one store; ` + "`up`" + ` runs this for each
  cairn-tikv-dev tikv-server [options] one store in a pod, with the flags of TiKV
  cairn-tikv-dev --help                this text

up keeps everything under DIR: data, logs, and state.json (who runs, under which
pid, at which address). When every region has its healthy voters it prints one line,
` + "`ready pd=127.0.0.1:PORT`" + `. Starting again on a DIR with data goes on with the data.

  --stores N          3 or 1 (default 3); a DIR keeps the number it was made with
  --base-port PORT    PD at PORT (peers PORT+1), store i at PORT+10+i (status PORT+20+i);
                      0 picks free ports, which DIR remembers (default 23790)
  --memory SIZE       soft limit of each store's heap, such as 400MiB (default 400MiB)
  --disk-limit SIZE   a store that holds more answers writes with disk_full (default: none)
  --pd-server PATH    PD's program (default: pd-server beside this program)
  --until-eof         also end when standard input ends, so that nothing outlives a test

  SIGTERM, SIGINT     ends everything, within 5 s
  SIGHUP              starts again whatever has fallen; nothing is restarted by itself
  SIGKILL, SIGSTOP    to a pid of state.json: what tests do to it

Exit codes: 0 ended as asked, 1 something failed, 2 the command line makes no sense.
`

// usageError is a mistake on the command line: exit code 2.
type usageError struct{ error }

func misuse(format string, arguments ...any) error {
	return usageError{fmt.Errorf(format, arguments...)}
}

func init() {
	// A child dies with the thread that started it (Pdeathsig). The main
	// goroutine starts them all, so it must never leave the main thread.
	runtime.LockOSThread()
}

func main() {
	arguments := os.Args[1:]
	if filepath.Base(os.Args[0]) == tikvServer {
		arguments = append([]string{tikvServer}, arguments...)
	}
	os.Exit(exitCode(run(arguments)))
}

func run(arguments []string) error {
	if len(arguments) == 0 {
		return misuse("say what to do: up, store or --help")
	}
	switch arguments[0] {
	case "up":
		options, err := parseUp(arguments[1:])
		if err != nil {
			return err
		}
		return up(options)
	case "store":
		options, err := parseStore(arguments[1:])
		if err != nil {
			return err
		}
		return serveStore(options)
	case tikvServer:
		options, err := parsePod(arguments[1:])
		if err != nil {
			return err
		}
		return serveInPod(options)
	case "help", "--help", "-h":
		fmt.Print(help)
		return nil
	default:
		return misuse("%q is not a command: up, store, tikv-server and --help are", arguments[0])
	}
}

func exitCode(err error) int {
	var usage usageError
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errHelp):
		fmt.Print(help)
		return 0
	case errors.As(err, &usage):
		fmt.Fprintf(os.Stderr, "cairn-tikv-dev: %v\ntry `cairn-tikv-dev --help`\n", err)
		return 2
	default:
		fmt.Fprintf(os.Stderr, "cairn-tikv-dev: %v\n", err)
		return 1
	}
}
