package registry

import "context"

// Yank says that a version should not be chosen any more, though whoever has pinned it may still install it (PEP 592;
// npm calls it deprecated), or takes that back. The reason may be empty. may is asked within the transaction. It returns
// Forbidden when a rule protects the name from the actor of ctx, and NotFound for a package that is gone.
func (r *Registry) Yank(ctx context.Context, pkg int64, yanked bool, reason string, may func(Tx, *Package) error) error {
	return r.Store.Write(ctx, func(tx Tx) error {
		p, _, err := hold(ctx, tx, pkg, push, may)
		if err != nil {
			return err
		}
		event := &Event{Name: PackageChanged, ProjectID: p.ProjectID, Target: p.title(), Detail: "no longer yanked"}
		p.Status, p.StatusMessage = Default, ""
		if yanked {
			p.Status, p.StatusMessage, event.Detail = Deprecated, reason, "yanked: "+reason
		}
		if err := tx.UpdatePackage(p); err != nil {
			return err
		}
		return tx.Record(event)
	})
}
