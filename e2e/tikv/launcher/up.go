package main

// The supervisor: starts PD and the stores, waits until every region has its
// voters, says so, and ends them all when it is told to.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

const (
	formTries    = 4
	startTimeout = 2 * time.Minute
	stopTimeout  = 5 * time.Second
)

type supervisor struct {
	layout    *layout
	options   upOptions
	placement *placement
	processes []*process
	fallen    chan *process
}

var errAsked = errors.New("asked to end")

func up(options upOptions) error {
	plan, err := planLayout(options)
	if err != nil {
		return err
	}
	lock, err := lockFolder(plan.path("lock"))
	if err != nil {
		return err
	}
	defer lock.Close()
	if address := plan.taken(); address != "" {
		return fmt.Errorf("%s is taken by another program; --base-port 0 in an empty folder picks free ports", address)
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer cancel()
	if options.untilEOF {
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			cancel()
		}()
	}
	revive := make(chan os.Signal, 1)
	signal.Notify(revive, syscall.SIGHUP)

	s := &supervisor{layout: plan, options: options, placement: newPlacement(plan.pd())}
	s.plan()
	defer s.stop()
	if err := s.form(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	go s.placement.keepRuleAway(ctx)
	fmt.Printf("ready pd=%s\n", plan.pd())
	return s.watch(ctx, revive)
}

// lockFolder keeps a second supervisor away. The kernel lets go with the process.
func lockFolder(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		file.Close()
		return nil, fmt.Errorf("another cairn-tikv-dev runs in this folder (%s is locked)", path)
	}
	return file, nil
}

func (s *supervisor) plan() {
	l := s.layout
	s.processes = []*process{{
		name: "pd", address: l.pd(), program: s.options.pdServer, output: l.path("pd.out"),
		arguments: []string{
			"--name=pd0", "--data-dir=" + l.path("pd"), "--log-file=" + l.path("pd.log"), "--config=" + l.path("pd.toml"),
			"--client-urls=http://" + l.pd(), "--peer-urls=http://" + l.pdPeers(),
		},
	}}
	for i := 1; i <= l.Stores; i++ {
		s.processes = append(s.processes, &process{
			name: storeName(i), address: l.store(i), program: s.options.own, output: l.path(storeName(i) + ".out"),
			arguments: []string{
				"store", "--dir=" + l.path(storeName(i)), "--pd=" + l.pd(), "--addr=" + l.store(i),
				"--status-addr=" + l.storeStatus(i), fmt.Sprintf("--disk-limit=%d", s.options.diskLimit),
			},
			environment: []string{"GOMEMLIMIT=" + fmt.Sprint(s.options.memory), "GOMAXPROCS=2"},
		})
	}
	s.fallen = make(chan *process, 16*len(s.processes))
}

func (s *supervisor) pdConfig() string {
	return fmt.Sprintf(`[log]
level = "warn"
[log.file]
max-size = %d
max-backups = %d
[schedule]
max-store-down-time = "24h"
patrol-region-interval = "100ms"
[replication]
max-replicas = %d
`, logFileMiB, logFiles, s.layout.Stores)
}

// form starts everything and waits for the voters. Now and then a store panics
// while the first replicas are made; a cluster that never had data is then
// wiped and started again.
func (s *supervisor) form(ctx context.Context) error {
	if err := os.WriteFile(s.layout.path("pd.toml"), []byte(s.pdConfig()), 0o644); err != nil {
		return err
	}
	for try := 1; ; try++ {
		if !s.layout.Formed {
			if err := s.layout.wipe(); err != nil {
				return err
			}
		}
		err := s.startFallen(ctx)
		if err == nil {
			err = s.awaitVoters(ctx)
		}
		if err == nil {
			s.layout.Formed = true
			return errors.Join(s.layout.save(), s.saveState())
		}
		if ctx.Err() != nil || s.layout.Formed || try == formTries {
			return err
		}
		fmt.Fprintf(os.Stderr, "cairn-tikv-dev: the fresh cluster did not form (%v); starting again, %d of %d\n", err, try+1, formTries)
		s.stop()
		s.plan()
	}
}

// startFallen starts whatever does not run, PD first, and waits until each serves.
func (s *supervisor) startFallen(ctx context.Context) error {
	for i, process := range s.processes {
		if process.running() {
			continue
		}
		if err := process.start(s.fallen); err != nil {
			return err
		}
		serves := s.placement.healthy
		if i > 0 {
			serves = func(ctx context.Context) bool { return storeServes(ctx, s.layout.storeStatus(i)) }
		}
		// The first store bootstraps the cluster: the others join it, so one
		// after the other.
		if err := s.await(ctx, process.name+" did not start", process, serves); err != nil {
			return err
		}
		if err := s.saveState(); err != nil {
			return err
		}
	}
	return nil
}

func storeServes(ctx context.Context, status string) bool {
	store := &placement{base: "http://" + status + "/", client: http.Client{Timeout: requestTimeout}}
	return store.call(ctx, http.MethodGet, "status", nil) == nil
}

func (s *supervisor) awaitVoters(ctx context.Context) error {
	return s.await(ctx, "some regions lack voters", nil, func(ctx context.Context) bool {
		return s.placement.dropRule(ctx) && s.placement.replicated(ctx, s.layout.Stores)
	})
}

// await polls until it holds; it gives up when the time is over, when asked to
// end, or when the process it is about (all of them, if nil) has ended.
func (s *supervisor) await(ctx context.Context, otherwise string, about *process, holds func(context.Context) bool) error {
	for end := time.Now().Add(startTimeout); time.Now().Before(end); {
		if holds(ctx) {
			return nil
		}
		for _, process := range s.processes {
			if (about == nil || about == process) && process.command != nil && !process.running() {
				return fmt.Errorf("%s ended: %s", process.name, process.why())
			}
		}
		if !pause(ctx, pollInterval) {
			return errAsked
		}
	}
	return fmt.Errorf("%s within %s; logs are in %s", otherwise, startTimeout, s.layout.dir)
}

func (s *supervisor) watch(ctx context.Context, revive <-chan os.Signal) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case process := <-s.fallen:
			if process.running() {
				continue
			}
			fmt.Fprintf(os.Stderr, "cairn-tikv-dev: %s has ended: %s\n", process.name, process.why())
			if err := s.saveState(); err != nil {
				return err
			}
		case <-revive:
			if err := s.startFallen(ctx); err != nil && ctx.Err() == nil {
				fmt.Fprintf(os.Stderr, "cairn-tikv-dev: %v\n", err)
			}
			if err := s.saveState(); err != nil {
				return err
			}
		}
	}
}

// stop asks all at once, and kills those that do not listen. A process under
// SIGSTOP hears nothing but SIGKILL.
func (s *supervisor) stop() {
	for _, process := range s.processes {
		process.signal(syscall.SIGTERM)
	}
	deadline := time.After(stopTimeout)
	for _, process := range s.processes {
		if process.command == nil {
			continue
		}
		select {
		case <-process.ended:
		case <-deadline:
			expired := make(chan time.Time)
			close(expired)
			deadline = expired
			process.signal(syscall.SIGKILL)
			<-process.ended
		}
	}
	_ = s.saveState()
}

// state is DIR/state.json, for tests and for people.
type state struct {
	Supervisor int            `json:"supervisor"`
	PD         string         `json:"pd"`
	Processes  []processState `json:"processes"`
}

type processState struct {
	Name string `json:"name"`
	// 0 while it does not run.
	PID     int    `json:"pid"`
	Address string `json:"address"`
}

func (s *supervisor) saveState() error {
	now := state{Supervisor: os.Getpid(), PD: s.layout.pd()}
	for _, process := range s.processes {
		now.Processes = append(now.Processes, processState{process.name, process.pid(), process.address})
	}
	return writeJSON(s.layout.path("state.json"), now)
}
