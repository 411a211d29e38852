package router

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tierd/tierd/tiers/hot"
)

// Sealing is a Sealer whose setting is the keyspace's: a text that the sequencer keeps, and
// that means nothing to the router.
type Sealing interface {
	hot.Sealer
	// Configure goes by a text from now on; "" is the one of a keyspace whose values were never
	// sealed. hot.ErrSealKey if its keys cannot be had: then it goes by the one before.
	Configure(ctx context.Context, text string) error
	// OnUnknownKey sets how to read the text anew and go by it, for when a value is met that
	// another frontend has sealed with a key that is newer than the text known here.
	OnUnknownKey(reread func(context.Context) error)
}

// What a sealed value cannot be had for.
var (
	// ErrSealKey: the key of sealed values is not at hand. Where it comes from a write,
	// nothing was written.
	ErrSealKey = hot.ErrSealKey
	// ErrSealAltered: a sealed value is not what was sealed for its key.
	ErrSealAltered = hot.ErrSealAltered
)

// alteredError is an ErrCorrupt that concerns one key only, and says so.
type alteredError struct{ cause error }

func (e *alteredError) Error() string   { return e.cause.Error() }
func (e *alteredError) Unwrap() []error { return []error{ErrCorrupt, e.cause} }

// Names of the texts beside the map: the setting, and how far RenewSeals is, in JSON.
const (
	sealingText      = "sealing"
	sealProgressText = "sealing-progress"
)

// sealProgressEvery is how often RenewSeals tells everyone how far it is.
const sealProgressEvery = time.Second

func (k *Keyspace) configureSealing(ctx context.Context, text string) error {
	if k.sealing == nil {
		if text == "" {
			return nil
		}
		return fmt.Errorf("%w: values of the keyspace %s are sealed: %w", ErrUnavailable, k.settings.Keyspace, hot.ErrSealKey)
	}
	if err := k.sealing.Configure(ctx, text); err != nil {
		return fmt.Errorf("go by the setting of sealed values of the keyspace %s: %w", k.settings.Keyspace, translate(err))
	}
	return nil
}

// rereadSealing reads the setting alone: it may be called where a lane waits for it.
func (k *Keyspace) rereadSealing(ctx context.Context) error {
	text, err := k.SealingText(ctx)
	if err != nil {
		return err
	}
	return k.configureSealing(ctx, text)
}

// SealingText is the setting as the sequencer has it.
func (k *Keyspace) SealingText(ctx context.Context) (string, error) {
	_, texts, _, err := k.hot.Map(ctx)
	if err != nil {
		return "", translate(err)
	}
	return texts[sealingText], nil
}

// ChangeSealing changes the setting. When it has returned, no frontend writes anything by a
// former one, not even one that was paused meanwhile: with binding, the epoch of the map goes up on all shards.
// (A change that leaves what is written as it is needs no binding.) It says whether the text
// changed at all. Twice is as good as once.
func (k *Keyspace) ChangeSealing(ctx context.Context, binding bool, change func(ctx context.Context, text string) (string, error)) (bool, error) {
	for {
		before, err := k.SealingText(ctx)
		if err != nil {
			return false, err
		}
		after, err := change(ctx, before)
		if err != nil || after == before && !binding {
			return false, err
		}
		if after == before { // whoever set it may not have come to what follows
			return false, k.refresh(ctx, nil)
		}
		done, err := k.hot.SetMapText(ctx, sealingText, before, after)
		if err != nil {
			return false, translate(err)
		}
		if !done {
			continue // someone else has changed it meanwhile
		}
		if binding {
			return true, k.refresh(ctx, nil)
		}
		return true, k.reloadMap(ctx)
	}
}

// SealProgress says how far RenewSeals is.
type SealProgress struct {
	// Looked of about Total records were looked at, over all shards; Renewed were replaced.
	Looked  int64 `json:"looked"`
	Total   int64 `json:"total"`
	Renewed int64 `json:"renewed"`
}

// SealStatus is the setting, and how far RenewSeals is that runs on some frontend; nil if none
// does.
func (k *Keyspace) SealStatus(ctx context.Context) (text string, progress *SealProgress, err error) {
	_, texts, _, err := k.hot.Map(ctx)
	if err != nil {
		return "", nil, translate(err)
	}
	if said := texts[sealProgressText]; said != "" {
		progress = &SealProgress{}
		if err := json.Unmarshal([]byte(said), progress); err != nil {
			return "", nil, fmt.Errorf("%w: decode how far sealing is: %w", ErrInternal, err)
		}
	}
	return texts[sealingText], progress, nil
}

// sealReport tells how far a renewal is: its caller, and now and then everyone.
type sealReport struct {
	k      *Keyspace
	sum    SealProgress
	report func(SealProgress)
	said   time.Time
}

func (r *sealReport) tell(ctx context.Context, p SealProgress) error {
	r.sum = p
	r.report(p)
	if time.Since(r.said) < sealProgressEvery {
		return nil
	}
	text, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("encode how far sealing is: %w", err)
	}
	r.said = time.Now()
	return r.k.saySealProgress(ctx, string(text))
}

// saySealProgress writes over what anybody has said before.
func (k *Keyspace) saySealProgress(ctx context.Context, text string) error {
	_, texts, _, err := k.hot.Map(ctx)
	if err == nil {
		_, err = k.hot.SetMapText(ctx, sealProgressText, texts[sealProgressText], text)
	}
	return translate(err)
}

// renewRest is how much of the time a renewal leaves to everyone else: as many times what
// it takes.
const renewRest = 1

// RenewSeals goes over all records of all shards and seals anew what is not sealed as values
// are now. Readers notice nothing. It says whether everything is so at its end: a move under
// way, or one that has come to its end meanwhile, brings what was not looked at. With two at once the
// same is done twice, without harm.
func (k *Keyspace) RenewSeals(ctx context.Context, report func(SealProgress)) (all bool, err error) {
	if err := k.reloadMap(ctx); err != nil {
		return false, err
	}
	if k.shardMap().move != "" {
		return false, nil
	}
	// Whoever changed the setting may have died before it was binding.
	if err := k.refresh(ctx, nil); err != nil {
		return false, err
	}
	m := k.shardMap()
	if m.move != "" {
		return false, nil
	}
	r := &sealReport{k: k, report: report, said: time.Now()}
	all = true
	for _, id := range slices.Sorted(maps.Keys(m.places())) {
		s, err := k.shard(id)
		if errors.Is(err, errStaleMap) {
			continue // gone since, with all that it had
		}
		if err != nil {
			return false, err
		}
		left, err := k.renewShard(ctx, s, r)
		if err != nil {
			return false, fmt.Errorf("seal the values of shard %d anew: %w", id, translate(err))
		}
		all = all && left == 0
	}
	if err := errors.Join(k.saySealProgress(ctx, ""), k.reloadMap(ctx)); err != nil {
		return false, err
	}
	now := k.shardMap()
	return all && now.move == "" && now.now().epoch == m.now().epoch, nil
}

func (k *Keyspace) renewShard(ctx context.Context, s *shard, told *sealReport) (left int64, err error) {
	var r hot.Renewal
	before := told.sum
	for !r.Done {
		began := time.Now()
		if err := s.client.Renew(ctx, &r); err != nil {
			return 0, err
		}
		sum := SealProgress{Looked: before.Looked + r.Looked, Total: before.Total + max(r.Total, r.Looked), Renewed: before.Renewed + r.Renewed}
		if err := told.tell(ctx, sum); err != nil {
			return 0, err
		}
		pauseFor(ctx, renewRest*time.Since(began))
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
	}
	return r.Left, nil
}
