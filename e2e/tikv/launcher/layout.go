package main

// What a DIR holds and remembers, and which ports its processes have.

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
)

// Free ports are looked for below those that the kernel gives to outgoing
// connections, so that a killed store finds its own again.
const (
	freePortMin   = 10000
	freePortMax   = 32000
	freePortTries = 200
)

// layout is kept in DIR/cluster.json.
type layout struct {
	Stores   int `json:"stores"`
	BasePort int `json:"base_port"`
	// Formed once every region had its voters: from then on there may be data.
	Formed bool `json:"formed"`
	dir    string
}

// planLayout takes what the DIR remembers and what the command line says; the
// two must agree.
func planLayout(options upOptions) (*layout, error) {
	plan := &layout{dir: options.dir}
	content, err := os.ReadFile(plan.path("cluster.json"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	default:
		if err := json.Unmarshal(content, plan); err != nil {
			return nil, fmt.Errorf("%s cannot be read (%w); an empty folder would do", plan.path("cluster.json"), err)
		}
	}
	if plan.Formed {
		if options.stores != 0 && options.stores != plan.Stores {
			return nil, misuse("%s was made with %d stores: --stores %d, or another folder", options.dir, plan.Stores, plan.Stores)
		}
		if options.basePort > 0 && options.basePort != plan.BasePort {
			return nil, misuse("%s was made with base port %d: --base-port %d, or another folder", options.dir, plan.BasePort, plan.BasePort)
		}
		return plan, nil
	}
	if err := plan.refuseForeign(); err != nil {
		return nil, err
	}
	plan.Stores = 3
	if options.stores != 0 {
		plan.Stores = options.stores
	}
	plan.BasePort = basePortDefault
	if options.basePort > 0 {
		plan.BasePort = options.basePort
	} else if options.basePort == 0 {
		if plan.BasePort, err = freeBasePort(plan.Stores); err != nil {
			return nil, err
		}
	}
	return plan, plan.save()
}

// refuseForeign keeps wipe away from folders that this program did not make.
func (l *layout) refuseForeign() error {
	if _, err := os.Stat(l.path("cluster.json")); err == nil {
		return nil
	}
	if err := os.MkdirAll(l.dir, 0o755); err != nil {
		return err
	}
	entries, err := os.ReadDir(l.dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if name := entry.Name(); name == "pd" || strings.HasPrefix(name, "store-") {
			return misuse("%s holds %s but no cluster.json: an empty folder would do", l.dir, name)
		}
	}
	return nil
}

func (l *layout) path(name string) string { return filepath.Join(l.dir, name) }

func (l *layout) save() error { return writeJSON(l.path("cluster.json"), l) }

// wipe removes the data of a cluster that never formed.
func (l *layout) wipe() error {
	if l.Formed {
		return errors.New("a cluster that held data is never wiped")
	}
	names := []string{"pd"}
	for i := 1; i <= l.Stores; i++ {
		names = append(names, storeName(i))
	}
	for _, name := range names {
		if err := os.RemoveAll(l.path(name)); err != nil {
			return err
		}
	}
	return nil
}

func storeName(i int) string { return fmt.Sprintf("store-%d", i) }

func local(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

func (l *layout) pd() string               { return local(l.BasePort) }
func (l *layout) pdPeers() string          { return local(l.BasePort + 1) }
func (l *layout) store(i int) string       { return local(l.BasePort + 10 + i) }
func (l *layout) storeStatus(i int) string { return local(l.BasePort + 20 + i) }

func (l *layout) addresses() []string {
	all := []string{l.pd(), l.pdPeers()}
	for i := 1; i <= l.Stores; i++ {
		all = append(all, l.store(i), l.storeStatus(i))
	}
	return all
}

// taken names the first address that something else listens on, or "".
func (l *layout) taken() string {
	for _, address := range l.addresses() {
		listener, err := net.Listen("tcp", address)
		if err != nil {
			return address
		}
		listener.Close()
	}
	return ""
}

func freeBasePort(stores int) (int, error) {
	for range freePortTries {
		base := freePortMin + rand.IntN(freePortMax-portsSpan-freePortMin)
		if (&layout{Stores: stores, BasePort: base}).taken() == "" {
			return base, nil
		}
	}
	return 0, fmt.Errorf("no free ports between %d and %d", freePortMin, freePortMax)
}

// writeJSON replaces a file as a whole: a reader sees the old one or the new.
func writeJSON(file string, value any) error {
	content, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	fresh := file + ".new"
	if err := os.WriteFile(fresh, append(content, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(fresh, file)
}
