//! `[traces]`: where the days of some transactions go, as traces.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use axum::http::{HeaderName, HeaderValue, Uri};
use serde::Deserialize;

use super::Overrides;
use crate::traces::TraceSettings;

/// Which share is followed when nobody says: enough to see how things are, and nothing that anybody would feel.
const SAMPLE: f64 = 0.01;

/// Most headers for the collector.
const HEADERS_MAX: usize = 16;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    endpoint: Option<String>,
    sample: Option<f64>,
    callers: Option<bool>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    ca_file: Option<PathBuf>,
}

impl Written {
    /// Nothing without an endpoint.
    pub(super) fn checked(
        self,
        base: &Path,
        overrides: &Overrides,
    ) -> Result<Option<TraceSettings>, String> {
        let Self { endpoint, sample, callers, headers, ca_file } = self;
        let sample = match &overrides.traces_sample {
            Some(text) => Some(text.parse().map_err(|_| no_share(text))?),
            None => sample,
        };
        let sample = sample.unwrap_or(SAMPLE);
        if !(0.0..=1.0).contains(&sample) {
            return Err(no_share(&sample.to_string()));
        }
        let headers = match &overrides.traces_headers {
            Some(text) if text.is_empty() => Vec::new(),
            Some(text) => text.split(',').map(pair).collect::<Result<_, _>>()?,
            None => headers.into_iter().collect(),
        };
        let headers = headers_of(headers)?;
        let Some(endpoint) = overrides.traces_endpoint.clone().or(endpoint) else {
            return Ok(None);
        };
        // So that a variable can take back what a file says.
        if endpoint.is_empty() {
            return Ok(None);
        }
        check_endpoint(&endpoint)?;
        let ca_file = ca_file.map(|file| base.join(file));
        let callers = callers.unwrap_or(true);
        Ok(Some(TraceSettings { endpoint, sample, callers, headers, ca_file }))
    }
}

fn no_share(text: &str) -> String {
    format!("traces.sample: {text} is no share; 0 to 1 are fine, 0.01 is one in a hundred")
}

/// Secrets go into headers: what is in the endpoint is logged.
fn check_endpoint(endpoint: &str) -> Result<(), String> {
    let fine = endpoint.parse::<Uri>().is_ok_and(|uri| {
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.host().is_some_and(|host| !host.is_empty())
            && !authority.contains('@')
            && uri.query().is_none()
    });
    if fine {
        return Ok(());
    }
    Err("traces.endpoint: that is no URL of a collector; \"http://collector:4318\" is fine, \
         without a user, a password or a query"
        .to_owned())
}

/// `Name=value`, as in the environment.
fn pair(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').map(|(name, value)| (name.trim(), value.trim()));
    let (name, value) = pair.ok_or_else(no_headers)?;
    Ok((name.to_owned(), value.to_owned()))
}

fn no_headers() -> String {
    format!(
        "traces.headers: at most {HEADERS_MAX} names with values are fine, in the environment as Name=value,Name=value"
    )
}

/// The values are secrets, and not part of any message.
fn headers_of(pairs: Vec<(String, String)>) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
    if pairs.len() > HEADERS_MAX {
        return Err(no_headers());
    }
    let read = |(name, value): (String, String)| {
        let name = HeaderName::try_from(name).map_err(|_| no_headers())?;
        let mut value = HeaderValue::try_from(value).map_err(|_| no_headers())?;
        value.set_sensitive(true);
        Ok((name, value))
    };
    pairs.into_iter().map(read).collect()
}
