package router

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tierd/tierd/tiers/hot"
)

// When the NOSPACE alarm goes by itself.
const (
	// roomShare is the part of the quota, and of the memory of each Redis, in percent, below
	// which there is room again. The rest keeps the alarm from coming back at once.
	roomShare = 90
	// roomyLooks is how many looks in a row have to find room.
	roomyLooks = 2
)

// noSpace is the error of a write that was refused for want of space; it raises the alarm
// that goes with it, unless it is up.
func (k *Keyspace) noSpace(ctx context.Context) error {
	if err := k.raiseNoSpace(ctx); err != nil {
		return errors.Join(ErrNoSpace, err)
	}
	return ErrNoSpace
}

func (k *Keyspace) raiseNoSpace(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	k.metrics.noSpace.Inc()
	return k.raise(ctx, Alarm{MemberID: k.settings.MemberID, Type: alarmNoSpace}, k.hot.RaiseFirstAlarm)
}

// careForSpace lowers the NOSPACE alarm when there is room again. One frontend does.
func (k *Keyspace) careForSpace(ctx context.Context) error {
	home := k.summary.Load()
	up := home != nil && slices.ContainsFunc(home.Alarms, func(a hot.Alarm) bool { return a.Kind == byte(alarmNoSpace) })
	if !up || k.settings.KeepNoSpace || k.LeaderID() != k.settings.MemberID {
		k.roomy = 0
		return nil
	}
	room, err := k.room(ctx, home)
	if err != nil || !room {
		k.roomy = 0
		return err
	}
	if k.roomy++; k.roomy < roomyLooks {
		return nil
	}
	k.roomy = 0
	lowered, err := k.hot.ClearAlarm(ctx, byte(alarmNoSpace))
	if err != nil {
		return fmt.Errorf("lower the NOSPACE alarm: %w", translate(err))
	}
	if len(lowered) > 0 {
		k.logger.Info("alarm lowered: there is room again", "alarm", alarmNoSpace.String())
		k.tellSpace(ctx, Alarm{Type: alarmNoSpace})
	}
	return nil
}

// room says whether the keyspace and each Redis have room again.
func (k *Keyspace) room(ctx context.Context, home *hot.Summary) (bool, error) {
	if _, bytes := k.total(home); bytes > k.settings.QuotaBytes/100*roomShare {
		return false, nil
	}
	for id, endpoint := range k.shardMap().endpoints {
		used, most, err := k.fleet.Memory(ctx, endpoint.URL)
		if err != nil {
			return false, fmt.Errorf("ask for the memory of endpoint %d: %w", id, translate(err))
		}
		if most > 0 && used > most/100*roomShare {
			return false, nil
		}
	}
	return true, nil
}
