package main

// A child: PD or a store.

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

// process is one of the cluster's programs, running or fallen.
type process struct {
	name, address string
	program       string
	arguments     []string
	environment   []string
	output        string
	command       *exec.Cmd
	// Closed when the command that runs now has ended.
	ended chan struct{}
}

func (p *process) running() bool {
	if p.command == nil {
		return false
	}
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// start runs it, and reports its end on `fallen`. The child dies with this
// process whatever happens (Pdeathsig); a process group of its own keeps a
// terminal's Ctrl-C from reaching it before its supervisor.
func (p *process) start(fallen chan<- *process) error {
	output, err := os.Create(p.output)
	if err != nil {
		return err
	}
	defer output.Close()
	command := exec.Command(p.program, p.arguments...)
	command.Env = append(os.Environ(), p.environment...)
	command.Stdout, command.Stderr = output, output
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := command.Start(); err != nil {
		return fmt.Errorf("%s does not start: %w", p.name, err)
	}
	ended := make(chan struct{})
	p.command, p.ended = command, ended
	go func() {
		_ = command.Wait()
		close(ended)
		fallen <- p
	}()
	return nil
}

// signal reaches it even while it is stopped by SIGSTOP, once it goes on.
func (p *process) signal(signal syscall.Signal) {
	if p.running() {
		_ = p.command.Process.Signal(signal)
	}
}

func (p *process) pid() int {
	if !p.running() {
		return 0
	}
	return p.command.Process.Pid
}

// why is how it ended, and the first line of a panic, if it left one.
func (p *process) why() string {
	if p.command == nil || p.command.ProcessState == nil {
		return "not started"
	}
	return fmt.Sprintf("%s; see %s", p.command.ProcessState, p.output)
}
