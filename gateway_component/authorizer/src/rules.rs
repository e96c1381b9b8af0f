//! The rules about a subject that need no policy: allowed subjects, and FTL's organization rule.

use crate::claims::Identity;
use crate::config::{Access, Config, Organization};
use serde_json::Value;

/// Every rule that is configured must hold; [`Config::parse`] made sure that one is.
pub(crate) fn subject_may_use(config: &Config, identity: &Identity) -> bool {
    let subject = config.allowed_subjects.is_empty()
        || config.allowed_subjects.iter().any(|allowed| allowed == &identity.subject);
    let organization = match (&config.organization, config.access) {
        (Some(organization), Access::Org) => belongs(organization, identity),
        (None, Access::Org) => false,
        _ => true,
    };
    subject && organization
}

/// A token that carries the organization's claim must carry its value (machines); one without it is a person's, whose
/// subject must be among the members.
fn belongs(organization: &Organization, identity: &Identity) -> bool {
    match identity.claims.get(&organization.claim) {
        None => organization.members.contains(&identity.subject),
        Some(Value::String(value)) => value == &organization.value,
        Some(Value::Array(values)) => values.iter().any(|value| value == organization.value.as_str()),
        Some(_) => false,
    }
}
