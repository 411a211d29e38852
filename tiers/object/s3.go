package object

import (
	"context"
	"errors"
)

func openS3(context.Context, Location, Options) (Store, error) {
	return nil, errors.New("s3:// is not there yet")
}
