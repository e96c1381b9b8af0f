//! Paths, parsed once.

/// What a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route<'a> {
    /// `/healthz`: the component runs.
    Health,
    /// `/readyz`: the application can serve.
    Ready,
    /// `/metrics`: what this pod serves, for Prometheus.
    Metrics,
    /// `/mcp`, `/mcp/readonly`, `/mcp/x/NAME`, `/mcp/x/NAME/readonly`.
    Endpoint(Endpoint<'a>),
    /// `/.well-known/…`
    WellKnown,
    /// `/`: what a person who opens the app's address sees.
    Root,
    /// `/__policy`: the operator's question about a policy; answered in its sandbox only.
    Policy,
    /// `/__schemas`: the operator's question about tools' schemas; answered in its sandbox only.
    Schemas,
    Unknown,
}

/// Which tools a path is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint<'a> {
    /// One component's, under their own names; None for all, under `COMPONENT__TOOL`.
    pub component: Option<&'a str>,
    /// Only those with `readOnlyHint`.
    pub readonly: bool,
}

impl<'a> Route<'a> {
    pub fn parse(path: &'a str) -> Route<'a> {
        match path {
            "/healthz" => return Route::Health,
            "/readyz" => return Route::Ready,
            "/metrics" => return Route::Metrics,
            "/" => return Route::Root,
            "/__policy" => return Route::Policy,
            "/__schemas" => return Route::Schemas,
            _ if path.starts_with("/.well-known/") => return Route::WellKnown,
            _ => {}
        }
        let path = path.strip_suffix('/').unwrap_or(path);
        let Some(rest) = path.strip_prefix("/mcp") else { return Route::Unknown };
        let (component, rest) = match rest.strip_prefix("/x/") {
            Some(named) => {
                let (component, rest) = named.split_at(named.find('/').unwrap_or(named.len()));
                if !is_component(component) {
                    return Route::Unknown;
                }
                (Some(component), rest)
            }
            None => (None, rest),
        };
        match rest {
            "" => Route::Endpoint(Endpoint { component, readonly: false }),
            "/readonly" => Route::Endpoint(Endpoint { component, readonly: true }),
            _ => Route::Unknown,
        }
    }
}

/// Whether a text can be a component's id (kebab case), so that it may become part of a variable's name or of a host's.
pub(crate) fn is_component(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_lowercase())
        && !text.ends_with('-')
        && !text.contains("--")
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_ftl() {
        let endpoint = |component, readonly| Route::Endpoint(Endpoint { component, readonly });
        for (path, route) in [
            ("/mcp", endpoint(None, false)),
            ("/mcp/", endpoint(None, false)),
            ("/mcp/readonly", endpoint(None, true)),
            ("/mcp/x/weather", endpoint(Some("weather"), false)),
            ("/mcp/x/weather-2/readonly", endpoint(Some("weather-2"), true)),
            ("/mcp/x/", Route::Unknown),
            ("/mcp/x/We", Route::Unknown),
            ("/mcp/x/a_b", Route::Unknown),
            ("/mcp/x/a/b", Route::Unknown),
            ("/mcpx", Route::Unknown),
            ("/", Route::Root),
            ("", Route::Unknown),
            ("//", Route::Unknown),
            ("/healthz", Route::Health),
            ("/readyz", Route::Ready),
            ("/metrics", Route::Metrics),
            ("/.well-known/oauth-protected-resource/mcp", Route::WellKnown),
        ] {
            assert_eq!(Route::parse(path), route, "{path}");
        }
    }
}
