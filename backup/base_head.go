package backup

import (
	"context"
	"fmt"
)

// BaseHead reads what a base says besides its items.
func (a *Archive) BaseHead(ctx context.Context, b Base) (BaseHead, error) {
	plain, err := a.open(ctx, b.Name())
	if err != nil {
		return BaseHead{}, err
	}
	defer plain.Close()
	reader, err := openBase(plain, b)
	if err != nil {
		return BaseHead{}, fmt.Errorf("%s: %w", b.Name(), err)
	}
	return reader.head, nil
}
