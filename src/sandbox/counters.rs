//! What the sandbox counts: calls, and every rule that a client broke, so that a test can assert "none".

use std::collections::BTreeMap;

use serde::Serialize;

/// A rule that a correct client never breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Rule {
    /// The client's id or secret is wrong or missing.
    BadClient,
    /// Credentials in the header and in the body of one request.
    ClientAuthTwice,
    /// The redirect URI is not registered, or differs from the one of the authorise request.
    BadRedirect,
    /// No challenge, no verifier, or not S256.
    PkceMissing,
    /// The verifier does not fit the challenge, or breaks the grammar.
    PkceWrong,
    /// The authorise request has no state.
    StateMissing,
    /// A scope that Pleo does not know, or none.
    ScopeUnknown,
    /// A response type other than `code`, or an unknown grant.
    UnsupportedFlow,
    /// A parameter twice in one request, or in the query where the body is needed.
    ParameterMisplaced,
    /// A parameter that is needed is not there.
    ParameterMissing,
    /// A token request that is no form.
    NotAForm,
    /// An authorisation code that was never issued.
    CodeUnknown,
    /// An authorisation code presented again.
    CodeReused,
    /// An authorisation code presented too late.
    CodeExpired,
    /// A refresh token that was never issued.
    RefreshTokenUnknown,
    /// A refresh token presented after it was replaced.
    RefreshTokenReplayed,
    /// A refresh token presented after its life.
    RefreshTokenExpired,
    /// A refresh token presented again after it was refused.
    RefreshAfterRejection,
}

impl Rule {
    const ALL: [Self; 18] = [
        Self::BadClient,
        Self::ClientAuthTwice,
        Self::BadRedirect,
        Self::PkceMissing,
        Self::PkceWrong,
        Self::StateMissing,
        Self::ScopeUnknown,
        Self::UnsupportedFlow,
        Self::ParameterMisplaced,
        Self::ParameterMissing,
        Self::NotAForm,
        Self::CodeUnknown,
        Self::CodeReused,
        Self::CodeExpired,
        Self::RefreshTokenUnknown,
        Self::RefreshTokenReplayed,
        Self::RefreshTokenExpired,
        Self::RefreshAfterRejection,
    ];
}

/// Everything that is counted since the start or the last reset.
#[derive(Debug, Serialize)]
pub(super) struct Counters {
    /// Requests to the token endpoint that arrived whole, answered or not.
    pub(super) token_calls: u64,
    /// Refreshes that took effect, whether or not the answer left.
    pub(super) refreshes: u64,
    /// Codes exchanged.
    pub(super) exchanges: u64,
    /// Calls to either introspection endpoint.
    pub(super) introspections: u64,
    /// Arrivals of a refresh token that had arrived before, whatever became of it then.
    pub(super) refresh_token_presented_twice: u64,
    /// The most refreshes of one authorisation that were at the token endpoint at once.
    pub(super) concurrent_refreshes: u64,
    /// Calls to the API, introspection aside.
    pub(super) api_calls: u64,
    /// Calls with a credential that is wrong or dead.
    pub(super) unauthorised: u64,
    /// Calls beyond the granted scopes, or for another company.
    pub(super) forbidden: u64,
    /// Calls over the limit.
    pub(super) rate_limited: u64,
    /// Calls of an operation that Pleo does not have.
    pub(super) unknown_routes: u64,
    /// Faults that were played.
    pub(super) faults_played: u64,
    /// How often each rule was broken; all rules are listed.
    pub(super) rules_broken: BTreeMap<Rule, u64>,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            token_calls: 0,
            refreshes: 0,
            exchanges: 0,
            introspections: 0,
            refresh_token_presented_twice: 0,
            concurrent_refreshes: 0,
            api_calls: 0,
            unauthorised: 0,
            forbidden: 0,
            rate_limited: 0,
            unknown_routes: 0,
            faults_played: 0,
            rules_broken: Rule::ALL.map(|rule| (rule, 0)).into(),
        }
    }
}

impl Counters {
    /// Counts one breach.
    pub(super) fn broke(&mut self, rule: Rule) {
        *self.rules_broken.entry(rule).or_default() += 1;
    }
}
