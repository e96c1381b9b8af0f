//! Why a request is refused. The app's operator gets one word; a client is told less.

use crate::Response;

/// The reason of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// There is no credential.
    Absent,
    /// There is more than one credential.
    Ambiguous,
    /// The credential cannot be read.
    Malformed,
    /// It is no access token, by its header or by its claims.
    Type,
    /// It is signed by an algorithm that the app does not accept.
    Algorithm,
    /// It is bound to a key of its holder, whose proof the gateway cannot check.
    Binding,
    Expired,
    NotYetValid,
    Issuer,
    Audience,
    /// It names no subject, or one that may not use the app.
    Subject,
    /// It lacks a scope.
    Scope,
    /// None of the issuer's keys is for it; or the API key is not among the app's.
    Key,
    /// The key that it names did not sign it.
    Signature,
    /// The policy does not allow it.
    Policy,
    /// There are no keys of the issuer, or the app's rules cannot be read.
    Unavailable,
}

impl Reason {
    /// All reasons, in the order in which they are shown.
    pub const ALL: [Reason; 16] = [
        Reason::Absent,
        Reason::Ambiguous,
        Reason::Malformed,
        Reason::Type,
        Reason::Algorithm,
        Reason::Binding,
        Reason::Expired,
        Reason::NotYetValid,
        Reason::Issuer,
        Reason::Audience,
        Reason::Subject,
        Reason::Scope,
        Reason::Key,
        Reason::Signature,
        Reason::Policy,
        Reason::Unavailable,
    ];

    /// The word for logs and metrics.
    pub fn word(self) -> &'static str {
        match self {
            Reason::Absent => "absent",
            Reason::Ambiguous => "ambiguous",
            Reason::Malformed => "malformed",
            Reason::Type => "type",
            Reason::Algorithm => "algorithm",
            Reason::Binding => "binding",
            Reason::Expired => "expired",
            Reason::NotYetValid => "not_yet_valid",
            Reason::Issuer => "issuer",
            Reason::Audience => "audience",
            Reason::Subject => "subject",
            Reason::Scope => "scope",
            Reason::Key => "key",
            Reason::Signature => "signature",
            Reason::Policy => "policy",
            Reason::Unavailable => "unavailable",
        }
    }
}

/// A request that is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthError {
    /// What the client is answered.
    pub response: Response,
    /// What the operator of the app is told.
    pub reason: Reason,
}
