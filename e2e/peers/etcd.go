package main

// etcd, three members: puts to the leader, each of them on the disks of two members before it is answered.

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// Connections that the clients share, as etcd's own benchmark has it.
const etcdConnections = 16

func etcd(ctx context.Context, t task) error {
	leader, version, err := etcdLeader(ctx, t.at)
	if err != nil {
		return err
	}
	connections := make([]*clientv3.Client, etcdConnections)
	for index := range connections {
		if connections[index], err = etcdConnect(leader); err != nil {
			return err
		}
		defer connections[index].Close()
	}
	made := values(t.bytes)
	var next, acknowledged atomic.Int64
	measure := func(what string, clients, each int) error {
		if !t.wanted(what) {
			return nil
		}
		requests := make([]request, clients)
		for index := range requests {
			connection := connections[index%len(connections)]
			requests[index] = func(ctx context.Context) (int, error) {
				puts := make([]clientv3.Op, each)
				for at := range puts {
					puts[at] = clientv3.OpPut(key(), string(made[next.Add(1)%bodies]))
				}
				var err error
				if each == 1 {
					_, err = connection.Do(ctx, puts[0])
				} else {
					_, err = connection.Txn(ctx).Then(puts...).Commit()
				}
				if err == nil {
					acknowledged.Add(int64(each))
				}
				return each, err
			}
		}
		found, err := loop(ctx, t.window, requests)
		if err != nil {
			return err
		}
		l := found.line(t.window)
		l.Peer, l.What, l.Clients, l.Version = "etcd", what, clients, version
		l.Note = fmt.Sprintf("%d members, to the leader, %d connections", len(t.at), etcdConnections)
		return t.say(l)
	}
	if err := measure("single puts, one a request", 256, 1); err != nil {
		return err
	}
	if err := measure("batched puts, 100 a transaction", 32, 100); err != nil {
		return err
	}
	return etcdHas(ctx, t.at, acknowledged.Load())
}

func etcdConnect(at string) (*clientv3.Client, error) {
	return clientv3.New(clientv3.Config{
		Endpoints: []string{"http://" + at}, DialTimeout: 5 * time.Second, Logger: zap.NewNop(),
	})
}

// etcdLeader waits until these members agree on one.
func etcdLeader(ctx context.Context, members []string) (leader, version string, err error) {
	err = eventually(ctx, func(ctx context.Context) error {
		leader = ""
		for _, at := range members {
			client, err := etcdConnect(at)
			if err != nil {
				return err
			}
			soon, cancel := context.WithTimeout(ctx, time.Second)
			status, err := client.Status(soon, "http://"+at)
			cancel()
			client.Close()
			if err != nil {
				return err
			}
			if status.Leader == 0 {
				return errors.New("no leader yet")
			}
			if status.Header.MemberId == status.Leader {
				leader, version = at, status.Version
			}
		}
		if leader == "" {
			return errors.New("no member says that it leads")
		}
		return nil
	})
	return leader, version, err
}

// etcdHas counts keys on every member.
func etcdHas(ctx context.Context, members []string, acknowledged int64) error {
	for _, at := range members {
		client, err := etcdConnect(at)
		if err != nil {
			return err
		}
		answer, err := client.Get(ctx, "", clientv3.WithPrefix(), clientv3.WithCountOnly())
		client.Close()
		if err != nil {
			return err
		}
		if answer.Count < acknowledged {
			return fmt.Errorf("%s has %d keys of %d that were acknowledged", at, answer.Count, acknowledged)
		}
	}
	return nil
}
