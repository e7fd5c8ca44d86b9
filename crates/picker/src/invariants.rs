//! What always holds in a machine, as functions: for property tests and fleets in virtual time.

use crate::pool::PoolView;

/// Bookings of a machine since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Given to endpoints' accounts.
    pub given: u64,
    /// Taken back.
    pub returned: u64,
}

/// Given = returned + held.
pub fn books_balance(ledger: Ledger, view: &PoolView) -> bool {
    let held: u64 = view.endpoints.iter().map(|endpoint| u64::from(endpoint.account.requests)).sum();
    ledger.given == ledger.returned + held
}

/// An account without requests holds nothing else either.
pub fn empty_accounts_are_zero(view: &PoolView) -> bool {
    view.endpoints.iter().all(|endpoint| endpoint.account.requests > 0 || endpoint.account.is_empty())
}
