//! What a web client is given as text: a URL and headers, checked before anything is started.

use crate::error::IoError;
use crate::io::tls::TlsClient;
use http::header::{HOST, HeaderName, HeaderValue};
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderMap, Uri};

/// Where a client connects, and what it asks for there.
#[derive(Clone, Debug)]
pub(super) struct Url {
    /// As it was given.
    pub(super) uri: Uri,
    /// `host:port`, to be dialled.
    pub(super) address: String,
    /// What is asked for.
    pub(super) path: Uri,
    /// The host as the request names it.
    host: HeaderValue,
}

/// The schemes of a protocol.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schemes {
    plain: &'static str,
    secure: &'static str,
    example: &'static str,
}

pub(super) const HTTP: Schemes =
    Schemes { plain: "http", secure: "https", example: "a URL such as `http://host:8080/path`" };
pub(super) const WS: Schemes =
    Schemes { plain: "ws", secure: "wss", example: "a URL such as `ws://host:8080/path`" };

impl Url {
    /// Reads a URL that has one of these schemes. The secure one needs the settings of TLS, and the other must not have them.
    pub(super) fn parse(text: &str, schemes: Schemes, tls: Option<&TlsClient>) -> Result<Self, IoError> {
        let Schemes { plain, secure, example: must_be } = schemes;
        let bad = |must_be| IoError::BadOption { option: "url", value: without_secrets(text), must_be };
        let uri: Uri = text.parse().map_err(|_| bad(must_be))?;
        let authority = uri.authority().ok_or_else(|| bad(must_be))?;
        if authority.as_str().contains('@') {
            return Err(bad("without a user and a password; send them as a header"));
        }
        let is_secure = match uri.scheme().map(Scheme::as_str) {
            Some(scheme) if scheme.eq_ignore_ascii_case(plain) => false,
            Some(scheme) if scheme.eq_ignore_ascii_case(secure) => true,
            _ => return Err(bad(must_be)),
        };
        if is_secure != tls.is_some() {
            let must_be = "of the scheme for TLS together with the option `tls`, or of the other without it";
            return Err(bad(must_be));
        }
        let name = authority.host();
        if name.is_empty() {
            return Err(bad(must_be));
        }
        let port = match authority.port() {
            Some(_) => authority.port_u16().ok_or_else(|| bad(must_be))?,
            None if authority.as_str() != name => return Err(bad(must_be)),
            None if is_secure => 443,
            None => 80,
        };
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_| bad(must_be))?;
        let path = uri.path_and_query().map_or_else(|| "/".to_owned(), PathAndQuery::to_string);
        let path = path.parse().map_err(|_| bad(must_be))?;
        Ok(Self { address: format!("{name}:{port}"), host, path, uri })
    }

    /// The headers of a request for it: where it goes to, and those of the user, who must not set these of the protocol.
    pub(super) fn headers(&self, own: &[(String, String)], reserved: &[&str]) -> Result<HeaderMap, IoError> {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, self.host.clone());
        for (name, value) in own {
            // A value may be a secret.
            let bad = |must_be| IoError::BadOption { option: "header", value: name.clone(), must_be };
            let name: HeaderName = name.parse().map_err(|_| bad("a name that a header can have"))?;
            if name == HOST || reserved.contains(&name.as_str()) {
                return Err(bad("none that the protocol sets itself"));
            }
            let value =
                HeaderValue::from_str(value).map_err(|_| bad("given a value of visible characters"))?;
            headers.append(name, value);
        }
        Ok(headers)
    }
}

/// A URL for the eyes of others: what is before the host and after the path may be secret.
pub(super) fn without_secrets(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://..@{host}"),
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{HTTP, Url, WS, without_secrets};
    use crate::error::IoError;

    #[test]
    fn a_url_says_whom_to_dial_and_what_to_ask_for() {
        for (text, address, host, path) in [
            ("ws://example.org", "example.org:80", "example.org", "/"),
            ("ws://example.org:8080/a/b?c=d&e", "example.org:8080", "example.org:8080", "/a/b?c=d&e"),
            ("WS://127.0.0.1:1/x", "127.0.0.1:1", "127.0.0.1:1", "/x"),
            ("ws://[::1]:99/", "[::1]:99", "[::1]:99", "/"),
            ("ws://[::1]?q", "[::1]:80", "[::1]", "/?q"),
        ] {
            let url = Url::parse(text, WS, None).unwrap();
            assert_eq!((url.address.as_str(), url.host.to_str().unwrap()), (address, host), "{text}");
            assert_eq!(url.path.to_string(), path, "{text}");
        }
    }

    #[test]
    fn what_is_no_url_for_it_is_refused() {
        for text in [
            "",
            "/",
            "example.org",
            "example.org:80",
            "http://example.org",
            "ws://",
            "ws:///path",
            "ws://:80/",
            "ws://a:b/",
            "ws://a:99999/",
            "ws://a:/",
            "ws://user:pass@a/",
            "wss://without-tls/",
            "ws://a b/",
        ] {
            let refused = Url::parse(text, WS, None);
            assert!(matches!(refused, Err(IoError::BadOption { option: "url", .. })), "{text}: {refused:?}");
        }
        let refused = Url::parse("http://user:pass@host/?token=1", HTTP, None).unwrap_err();
        assert!(
            !refused.to_string().contains("pass@") && !refused.to_string().contains("token"),
            "{refused}"
        );
        assert_eq!(without_secrets("ws://host/a?b#c"), "ws://host/a");
    }

    #[test]
    fn headers_of_the_protocol_are_not_for_users() {
        let url = Url::parse("http://host/", HTTP, None).unwrap();
        let headers = |name: &str, value: &str| url.headers(&[(name.into(), value.into())], &["accept"]);
        assert_eq!(headers("authorization", "Bearer 1").unwrap().len(), 2);
        for (name, value) in [("Host", "x"), ("Accept", "x"), ("a b", "x"), ("", "x"), ("x", "a\r\nb: c")] {
            let refused = headers(name, value);
            assert!(
                matches!(refused, Err(IoError::BadOption { option: "header", .. })),
                "{name}: {refused:?}"
            );
        }
    }
}
