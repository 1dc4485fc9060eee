package etcd

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/naru-mesh/naru/store"
)

var (
	errClosed = fmt.Errorf("%w: it is closed", store.ErrUnavailable)
	// errLate is when etcd did not answer within Options.Wait.
	errLate = fmt.Errorf("%w: etcd did not answer in time: it may have no quorum (%w)", store.ErrUnavailable, context.DeadlineExceeded)
)

// convert makes an error of the contract of one of etcd's. ctx is the caller's:
// that it has ended is told as it is.
func convert(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	for _, own := range []error{store.ErrUnavailable, store.ErrNotFound, store.ErrCompacted} {
		if errors.Is(err, own) {
			return err
		}
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, rpctypes.ErrTimeout),
		errors.Is(err, rpctypes.ErrTimeoutDueToLeaderFail), errors.Is(err, rpctypes.ErrTimeoutDueToConnectionLost):
		return errLate
	case errors.Is(err, rpctypes.ErrCompacted):
		return fmt.Errorf("%w: %v", store.ErrCompacted, err)
	case errors.Is(err, rpctypes.ErrLeaseNotFound):
		return fmt.Errorf("%w: %v", store.ErrNotFound, err)
	case errors.Is(err, rpctypes.ErrNoSpace):
		return fmt.Errorf("%w: etcd's database has reached its quota; delete something, or raise the quota", store.ErrUnavailable)
	case wrong(err):
		return fmt.Errorf("store: %w", err) // the caller's doing
	}
	return fmt.Errorf("%w: %v", store.ErrUnavailable, err)
}

// wrong says whether what was asked for can never be done.
func wrong(err error) bool {
	return slices.ContainsFunc([]error{
		rpctypes.ErrEmptyKey, rpctypes.ErrDuplicateKey, rpctypes.ErrTooManyOps, rpctypes.ErrRequestTooLarge,
		rpctypes.ErrLeaseTTLTooLarge, rpctypes.ErrFutureRev,
	}, func(known error) bool { return errors.Is(err, known) })
}
