//! Who may ask: host, origin, token.
//!
//! Invariants: K1 a page of another site cannot reach the tools through a browser: its `Origin` is refused, and a name
//! it re-points at this machine is refused as `Host`. K2 the token is compared in time that depends on its length only.

use std::net::IpAddr;

use http::header::{AUTHORIZATION, HOST, ORIGIN};
use http::{HeaderMap, StatusCode, Uri};

use crate::error::DiagError;
use crate::options::DiagOptions;

/// Lengths a token may have.
const TOKEN_BYTES: std::ops::RangeInclusive<usize> = 16..=1024;

/// Refuses a token that cannot be sent, or is too short to be one.
pub(crate) fn check_token(token: Option<&str>) -> Result<(), DiagError> {
    match token {
        Some(token)
            if !TOKEN_BYTES.contains(&token.len()) || !token.bytes().all(|b| b.is_ascii_graphic()) =>
        {
            Err(DiagError::BadToken { length: token.len() })
        }
        _ => Ok(()),
    }
}

/// The rules of one node.
#[derive(Debug)]
pub(crate) struct Guard {
    token: Option<String>,
    hosts: Vec<String>,
    origins: Vec<String>,
}

/// Why a request was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {
    Host,
    Origin,
    Token,
}

impl Refusal {
    /// Label of the counter.
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Origin => "origin",
            Self::Token => "token",
        }
    }

    /// Status of the answer.
    pub(crate) const fn status(self) -> StatusCode {
        match self {
            Self::Host | Self::Origin => StatusCode::FORBIDDEN,
            Self::Token => StatusCode::UNAUTHORIZED,
        }
    }

    /// Body of the answer.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Host => "this host name is not allowed; add it to `allowed_hosts`\n",
            Self::Origin => "this origin is not allowed; add it to `allowed_origins`\n",
            Self::Token => "",
        }
    }
}

impl Guard {
    /// The rules of these options.
    pub(crate) fn new(options: &DiagOptions) -> Self {
        let bound =
            [&options.radar, &options.mcp].into_iter().flatten().map(|endpoint| endpoint.host.clone());
        let named = options.allowed_hosts.iter().map(|host| String::from(host_of(host)));
        Self {
            token: options.token.clone(),
            hosts: bound.chain(named).chain([String::from("localhost")]).collect(),
            origins: options.allowed_origins.iter().map(|o| String::from(o.trim_end_matches('/'))).collect(),
        }
    }

    /// Judges a request that came to local address `local`.
    pub(crate) fn check(&self, uri: &Uri, headers: &HeaderMap, local: IpAddr) -> Result<(), Refusal> {
        let host = headers.get(HOST).and_then(|value| value.to_str().ok());
        let host = host.or_else(|| uri.authority().map(http::uri::Authority::as_str)).ok_or(Refusal::Host)?;
        if headers.get_all(HOST).iter().count() > 1 || !self.is_host_allowed(host_of(host), local) {
            return Err(Refusal::Host);
        }
        for origin in headers.get_all(ORIGIN) {
            let origin = origin.to_str().map_err(|_| Refusal::Origin)?;
            if !self.is_origin_allowed(origin, host) {
                return Err(Refusal::Origin);
            }
        }
        if self.token.is_some() && !self.has_token(headers) {
            return Err(Refusal::Token);
        }
        Ok(())
    }

    /// An address cannot be re-pointed, so the one the client reached is as good as a name on the list.
    fn is_host_allowed(&self, host: &str, local: IpAddr) -> bool {
        match host.parse::<IpAddr>() {
            Ok(ip) if ip.is_loopback() || ip.to_canonical() == local.to_canonical() => true,
            _ => self.hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(host)),
        }
    }

    fn is_origin_allowed(&self, origin: &str, host: &str) -> bool {
        let same = origin.split_once("://").is_some_and(|(scheme, authority)| {
            scheme.eq_ignore_ascii_case("http") && authority.eq_ignore_ascii_case(host)
        });
        same || self.origins.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin))
    }

    fn has_token(&self, headers: &HeaderMap) -> bool {
        let (Some(token), Some(value)) = (&self.token, headers.get(AUTHORIZATION)) else { return false };
        let Ok(value) = value.to_str() else { return false };
        let Some((scheme, given)) = value.split_once(' ') else { return false };
        let (token, given) = (token.as_bytes(), given.trim().as_bytes());
        let difference = token.iter().zip(given).fold(0_u8, |difference, (a, b)| difference | (a ^ b));
        scheme.eq_ignore_ascii_case("bearer") && token.len() == given.len() && difference == 0
    }
}

/// Host of `host[:port]`, without the brackets of an IPv6 address.
fn host_of(authority: &str) -> &str {
    if let Some((inside, _)) = authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return inside;
    }
    match authority.split_once(':') {
        Some((host, port)) if !port.contains(':') => host,
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const LOCAL: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 1, 2, 3));

    fn guard() -> Guard {
        Guard::new(&DiagOptions {
            token: Some(String::from("a-token-of-16-or-more")),
            allowed_hosts: vec![String::from("node1.example:9922")],
            allowed_origins: vec![String::from("https://ops.example/")],
            ..DiagOptions::default()
        })
    }

    fn judge(host: &'static str, origin: Option<&'static str>, auth: &'static str) -> Result<(), Refusal> {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static(host));
        headers.insert(AUTHORIZATION, HeaderValue::from_static(auth));
        if let Some(origin) = origin {
            headers.insert(ORIGIN, HeaderValue::from_static(origin));
        }
        guard().check(&Uri::from_static("/mcp"), &headers, LOCAL)
    }

    const GOOD: &str = "Bearer a-token-of-16-or-more";

    #[test]
    fn known_hosts_pass_and_rebound_names_do_not() {
        for host in ["localhost:9922", "127.0.0.1", "[::1]:1", "10.1.2.3:9922", "NODE1.example"] {
            assert_eq!(judge(host, None, GOOD), Ok(()), "{host}");
        }
        for host in ["evil.example", "10.1.2.4", "localhost.evil.example:9922", "", "127.0.0.1.evil.example"]
        {
            assert_eq!(judge(host, None, GOOD), Err(Refusal::Host), "{host}");
        }
    }

    #[test]
    fn only_own_and_listed_origins_pass() {
        assert_eq!(judge("localhost:9922", Some("http://localhost:9922"), GOOD), Ok(()));
        assert_eq!(judge("localhost:9922", Some("https://ops.example"), GOOD), Ok(()));
        for origin in ["http://evil.example", "null", "http://localhost:9923", "https://ops.example.evil"] {
            assert_eq!(judge("localhost:9922", Some(origin), GOOD), Err(Refusal::Origin), "{origin}");
        }
    }

    #[test]
    fn only_the_whole_token_passes() {
        assert_eq!(judge("localhost", None, "bearer a-token-of-16-or-more"), Ok(()));
        for auth in ["", "Bearer", "Bearer a-token-of-16-or-mor", "Basic a-token-of-16-or-more", "Bearer x"] {
            assert_eq!(judge("localhost", None, auth), Err(Refusal::Token), "{auth}");
        }
    }

    #[test]
    fn weak_tokens_are_refused() {
        assert!(check_token(Some("short")).is_err());
        assert!(check_token(Some("with a space in it, long")).is_err());
        assert!(check_token(Some("0123456789abcdef")).is_ok() && check_token(None).is_ok());
    }
}
