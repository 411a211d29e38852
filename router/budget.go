package router

import (
	"context"

	"go.etcd.io/etcd/api/v3/mvccpb"
)

// Budget bounds the memory that is taken for answers. Whoever made it gives back what
// was taken when the answer is no more.
type Budget interface {
	// Take takes bytes, or says ErrTooManyRequests and takes none.
	Take(bytes int64) error
}

type budgetKey struct{}

// WithBudget gives a context whose ranges take their memory from b, page by page: one that
// gets no more ends with b's error, and what it has read is garbage.
func WithBudget(ctx context.Context, b Budget) context.Context {
	return context.WithValue(ctx, budgetKey{}, b)
}

// keyValueMemory is about what a key takes in memory beside its key and value.
const keyValueMemory = 160

// spend takes the memory of keys that were read.
func spend(ctx context.Context, kvs []*mvccpb.KeyValue) error {
	if len(kvs) == 0 || ctx.Value(budgetKey{}) == nil {
		return nil
	}
	bytes := int64(len(kvs)) * keyValueMemory
	for _, kv := range kvs {
		bytes += int64(len(kv.Key) + len(kv.Value))
	}
	return take(ctx, bytes)
}

// take takes memory from the budget of a context that has one.
func take(ctx context.Context, bytes int64) error {
	if b, ok := ctx.Value(budgetKey{}).(Budget); ok {
		return b.Take(bytes)
	}
	return nil
}
