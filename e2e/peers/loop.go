package main

// The closed loop: each client sends its next request when it has its answer. What is answered inside the window
// counts, and how long each of those took; what the warm-up or the end cut off does not.

import (
	"context"
	"math"
	"slices"
	"sync"
	"time"
)

// window is how long clients run before anything counts, and how long while it does.
type window struct {
	warm, measured time.Duration
}

// request is one client's next request: how many transactions it brought through.
type request func(context.Context) (int, error)

// taken is what one measurement found.
type taken struct {
	count       int
	latencies   []time.Duration
	from, until time.Time
}

// loop runs these clients side by side through the window. The first error ends it.
func loop(ctx context.Context, w window, clients []request) (taken, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		from  = time.Now().Add(w.warm)
		until = from.Add(w.measured)
		each  = make([]taken, len(clients))
		wait  sync.WaitGroup
	)
	for index, client := range clients {
		wait.Go(func() {
			for {
				sent := time.Now()
				if !sent.Before(until) || ctx.Err() != nil {
					return
				}
				count, err := client(ctx)
				if err != nil {
					cancel(err)
					return
				}
				answered := time.Now()
				if !answered.Before(from) && answered.Before(until) {
					each[index].count += count
					each[index].latencies = append(each[index].latencies, answered.Sub(sent))
				}
			}
		})
	}
	wait.Wait()
	if err := context.Cause(ctx); err != nil {
		return taken{}, err
	}
	all := taken{from: from, until: until}
	for _, one := range each {
		all.count += one.count
		all.latencies = append(all.latencies, one.latencies...)
	}
	return all, nil
}

// line says it in figures.
func (t taken) line(w window) line {
	slices.Sort(t.latencies)
	return line{
		PerSecond: math.Round(float64(t.count) / w.measured.Seconds()),
		P50:       milliseconds(percentile(t.latencies, 50)),
		P99:       milliseconds(percentile(t.latencies, 99)),
	}
}

// percentile is the least of these, which are sorted, that so many of a hundred do not exceed; 0 of none.
func percentile(sorted []time.Duration, percent int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	rank := (len(sorted)*percent + 99) / 100
	return sorted[max(rank, 1)-1]
}

func milliseconds(d time.Duration) float64 {
	return math.Round(float64(d)/float64(time.Microsecond)/10) / 100
}
