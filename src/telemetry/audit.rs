//! Audit entries as log lines, `target=audit`. The audit itself is in the store (contract.md section 7).

use crate::model::ledger::AuditEntry;

/// Says what was written to the audit, once it is there.
pub fn say(entry: &AuditEntry) {
    tracing::info!(
        target: "audit",
        at = %entry.at,
        tenant = entry.tenant.as_ref().map(tracing::field::display),
        who = entry.who,
        what = entry.what.as_str(),
        detail = entry.detail,
    );
}
