//! The rules about a subject that need no policy: allowed subjects, and FTL's organization rule.

use crate::claims::Identity;
use crate::config::{Access, Config, Organization};
use serde_json::Value;

/// Every rule that is configured must hold. Where none names subjects, `access: private` is for those with an API key,
/// for everyone of an issuer that has only the app's own people, and for those whom the policy, which decides later, lets
/// in.
pub(crate) fn subject_may_use(config: &Config, identity: &Identity) -> bool {
    let subject = if config.allowed_subjects.is_empty() {
        config.access != Access::Private || config.has_policy || config.every_subject || identity.by_api_key
    } else {
        config.allowed_subjects.contains(&identity.subject)
    };
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
        Some(Value::Array(values)) => values.iter().any(|value| names(value, &organization.value)),
        Some(Value::Object(members)) => {
            // Keycloak: {"acme": {"id": "42"}}. What is false or null under its name is denied.
            members.get(&organization.value).is_some_and(|about| about.is_object() || about.is_array())
                || names(&Value::Object(members.clone()), &organization.value)
        }
        Some(value) => names(value, &organization.value),
    }
}

/// Members by which issuers name an organization that they describe by an object.
const NAMES: [&str; 4] = ["id", "name", "alias", "slug"];

/// Whether a claim's value names this organization: itself, as a number, or as an object that describes it.
fn names(value: &Value, wanted: &str) -> bool {
    match value {
        Value::String(text) => text == wanted,
        Value::Number(number) => number.is_u64() && number.to_string() == wanted,
        Value::Object(about) => NAMES.iter().any(|name| match about.get(*name) {
            Some(value @ (Value::String(_) | Value::Number(_))) => names(value, wanted),
            _ => false,
        }),
        _ => false,
    }
}
